// What a figure learns where it is shown: the colours of the page behind it, and the keys that move the cursor.

function homeView(model) {
  const index = globalThis.Bokeh?.index
  if (!index) return null
  return index.find_one?.(model) ?? [...index].map((view) => view.find_one?.(model)).find((view) => view) ?? null
}

// The colour that is behind an element: that of its nearest ancestor which has one, shadow roots looked through.
function homeBehind(el) {
  for (let one = el; one; one = one.parentElement ?? one.getRootNode()?.host ?? null) {
    const found = getComputedStyle(one).backgroundColor.match(/[\d.]+/g)?.map(Number)
    if (found && (found[3] ?? 1) > 0.5) return found
  }
  const scheme = getComputedStyle(document.documentElement).colorScheme
  const dark = scheme.includes("dark") && (!scheme.includes("light") || matchMedia("(prefers-color-scheme: dark)").matches)
  return dark ? [18, 18, 18] : [255, 255, 255]
}

function homeDark(el) {
  const [red, green, blue] = homeBehind(el).map((part) => {
    const share = part / 255
    return share <= 0.04045 ? share / 12.92 : Math.pow((share + 0.055) / 1.055, 2.4)
  })
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.18
}

// Every colour of theme "auto", or of the one painted before, becomes that of the theme that the page has. All figures of
// a document are painted at once: each refers to the others, so a walk from each would find every model again.
function homePaint(document, inks, theme) {
  const before = document._roam_theme ?? "auto"
  const painted = (document._roam_painted ??= new WeakSet())
  // another plan mostly changes what models hold: the walk is for those that are new
  if (before === theme && [...document.all_models].every((model) => painted.has(model))) return
  const change = new Map()
  for (const from of new Set(["auto", before]))
    Object.entries(inks[from]).forEach(([name, colour]) => change.set(colour, inks[theme][name]))
  const models = new Set(document.roots().flatMap((root) => [...root.references()]))
  for (const model of [...models, ...document.all_models]) painted.add(model)
  for (const model of models)
    for (const property of homeColours(model)) {
      const spec = model[property]
      const value = typeof spec === "string" ? spec : spec?.value
      const wanted = typeof value === "string" ? change.get(value) : undefined
      if (wanted === undefined || wanted === value) continue
      model.setv({[property]: typeof spec === "string" ? wanted : {...spec, value: wanted}}, {sync: false})
    }
  document._roam_theme = theme
}

// The names of a model's colours, found once for each of its classes.
function homeColours(model) {
  const known = (globalThis._roam_colours ??= new Map())
  const kind = model.constructor
  if (!known.has(kind)) known.set(kind, Object.keys(model.properties ?? {}).filter((name) => name.endsWith("color")))
  return known.get(kind)
}

function homeKeys(el, now, steps) {
  if (el._roam_keys || !now) return
  el._roam_keys = true
  el.tabIndex = 0
  // JupyterLab sees keys before the figure does, and only the outermost element: letters of a search would be its commands
  let outer = el
  while (outer.getRootNode() instanceof ShadowRoot) outer = outer.getRootNode().host
  outer.setAttribute("data-lm-suppress-shortcuts", "true")
  el.addEventListener("keydown", (event) => {
    const count = steps.data.left.length, at = now.data.step[0]
    const far = Math.max(Math.round(count / 20), 1)
    const next = {ArrowLeft: at - 1, ArrowRight: at + 1, PageUp: at + far, PageDown: at - far, Home: 0, End: count - 1}[event.key]
    if (next === undefined || event.ctrlKey || event.metaKey || event.altKey) return
    event.preventDefault()
    event.stopPropagation()
    cursorMove(now, steps, event.shiftKey && event.key.startsWith("Arrow") ? at + (next - at) * far : next)
  })
}

// jupyter_bokeh tells the kernel every change, also those that the page makes for itself and those that have just come
// from the kernel, both of which say `sync: false`: hundreds of messages for each plan that is shown.
function homeQuiet(document) {
  if (!document || document._roam_quiet) return
  document._roam_quiet = true
  const tell = document._trigger_on_change
  const own = (event) => event.events ? event.events.every(own) : event.sync === false
  document._trigger_on_change = function (event) { if (!own(event)) tell.call(this, event) }
}

// bokeh draws a legend anew at each change of anything that its items refer to, data too: dozens of times for a plan.
function homeLegends(fig) {
  for (const model of fig.above) {
    const view = model.items && homeView(model)
    if (!view?._render_items || view._roam_waits !== undefined) continue
    const draw = view._render_items
    view._roam_waits = false
    view._render_items = function () {
      if (view._roam_waits) return
      view._roam_waits = true
      draw.call(view)
      queueMicrotask(() => { view._roam_waits = false; draw.call(view) })
    }
  }
}

// One of the figures that ask in the same turn of the page paints for all.
function homeOnce(document, paint) {
  if (!document || document._roam_paints) return
  document._roam_paints = true
  queueMicrotask(() => {
    document._roam_paints = false
    paint()
  })
}

// As soon as the figure is in the page, which its model hears of before its view can be found.
function homeSettle(fig, inks, now, steps, tries = 40) {
  homeQuiet(fig.document)
  const view = homeView(fig)
  if (!view) {
    if (tries > 0) setTimeout(() => homeSettle(fig, inks, now, steps, tries - 1), 50)
    return
  }
  homeKeys(view.el, now, steps)
  homeLegends(fig)
  if (!inks) return
  const paint = () => {
    const shown = homeView(fig)
    if (shown?.el.isConnected) homeOnce(fig.document, () => homePaint(fig.document, inks, homeDark(shown.el) ? "dark" : "light"))
  }
  paint()
  if (fig._roam_watches) return
  fig._roam_watches = true
  const later = () => setTimeout(paint, 100)
  const watch = new MutationObserver(later)
  for (const one of [document.documentElement, document.body])
    watch.observe(one, {attributes: true, attributeFilter: ["class", "style", "data-theme", "data-jp-theme-name"]})
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", later)
}
