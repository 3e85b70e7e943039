// What is alive at one step, laid out in the page: the twin of views/icicle.py, tested against it.
// `alive` is what figures/icicle_columns.py's alive_data makes; `d` holds a column each of group, bytes, start, end, op.

function icicleName(op) {
  const at = op.lastIndexOf(" (")
  return at < 0 ? op : op.slice(0, at)
}

// Letters that fit: of a path the end is kept, of anything else the beginning; too few tell nothing.
function icicleCut(text, width, path) {
  const limit = Math.floor((width - 6) / 7)
  if (text.length <= limit) return text
  if (limit < 6) return ""
  return path ? "…" + text.slice(text.length - limit + 1) : text.slice(0, limit - 1) + "…"
}

function icicleBoxes(alive, d, head, step, focus) {
  const members = new Map()
  const everything = []
  for (let s = 0; s < d.start.length; s++) {
    if (!(d.start[s] >= 0 && d.start[s] <= step && step < d.end[s] && d.bytes[s] > 0)) continue
    const group = d.group[s]
    if (!members.has(group)) members.set(group, [])
    members.get(group).push(s)
    everything.push(s)
  }
  const box = (level, left, right, node, found, label) => {
    const byKind = new Map()
    let largest = -1, total = 0
    for (const s of found) {
      byKind.set(d.kind[s], (byKind.get(d.kind[s]) ?? 0) + d.bytes[s])
      total += d.bytes[s]
      const more = largest < 0 ? 1 : d.bytes[s] - d.bytes[largest]
      if (more > 0 || (more === 0 && s < largest)) largest = s
    }
    const kinds = [...byKind.keys()].sort((a, b) => alive.rank[a] - alive.rank[b])
    const kind = kinds.reduce((best, one) => (best < 0 || byKind.get(one) > byKind.get(best) ? one : best), -1)
    return { level, left, right, node, storage: largest, kind, bytes: total, count: found.length, label, found }
  }
  const side = (level, left, right, named) => {
    const sizes = named.map(([, found]) => found.reduce((sum, s) => sum + d.bytes[s], 0))
    const scale = (right - left) / Math.max(sizes.reduce((sum, size) => sum + size, 0), 1)
    const boxes = [], small = []
    let many = 0
    named.forEach(([node, found, label], at) => {
      if (sizes[at] * scale < alive.thinnest && named.length > 1) {
        small.push(...found)
        many++
        return
      }
      boxes.push(box(level, left, left + sizes[at] * scale, node, found, label))
      left = boxes[boxes.length - 1].right
    })
    if (small.length) boxes.push(box(level, left, right, -1, small, `${exact(many)} smaller`))
    return boxes
  }
  const first = alive.patterns.length
  const zoomed = focus < first ? focus : alive.pattern[focus - first]
  const byPattern = new Map()
  for (const group of [...members.keys()].sort((a, b) => a - b)) {
    const pattern = alive.pattern[group]
    if (!byPattern.has(pattern)) byPattern.set(pattern, [])
    byPattern.get(pattern).push(group)
  }
  const shown = [...byPattern.keys()].sort((a, b) => a - b).filter((one) => zoomed === -1 || one === zoomed)
  const upper = side(1, 0, 1, shown.map(
    (one) => [one, byPattern.get(one).flatMap((group) => members.get(group)), alive.patterns[one]]))
  const middle = [], lower = []
  for (const outer of upper) {
    if (outer.node < 0) continue
    const inner = byPattern.get(outer.node).filter((group) => focus < first || group === focus - first)
    middle.push(...side(2, outer.left, outer.right, inner.map((group) => {
      const count = members.get(group).length
      return [first + group, members.get(group), alive.op[group] + (count > 1 ? ` ×${exact(count)}` : "")]
    })))
  }
  for (const outer of middle) {
    if (outer.node < 0) continue
    const found = members.get(outer.node - first)
    lower.push(...side(3, outer.left, outer.right, found.map((s) => [outer.node, [s], icicleName(d.op[s])])))
  }
  return [box(0, 0, 1, -1, everything, head), ...upper, ...middle, ...lower]
}

function icicleHead(alive, d, op, step) {
  if (!alive.steps) return "nothing is alive: the step has no ops"
  let total = 0, count = 0
  for (let s = 0; s < d.start.length; s++)
    if (d.start[s] >= 0 && d.start[s] <= step && step < d.end[s]) { total += d.bytes[s]; count++ }
  const place = `alive at step ${exact(step + 1)} of ${exact(alive.steps)}, ${op}`
  return `${place}: ${bytesText(total)} in ${exact(count)} storages`
}

// Columns for bokeh. `width`: pixels of the plot; `picked`: the selected storage; `marked(s)`: whether a search found it.
function icicleColumns(alive, boxes, width, picked, marked) {
  const names = ["level", "node", "storage", "left", "right", "bottom", "top", "x", "upper", "lower", "label", "bytes", "kind",
    "what", "fill", "ink", "line", "thick"]
  const columns = Object.fromEntries(names.map((name) => [name, []]))
  for (const one of boxes) {
    const pixels = (one.right - one.left) * width
    const size = bytesText(one.bytes)
    const kind = one.kind < 0 ? "" : alive.kinds[one.kind]
    const chosen = one.level === 3 && picked >= 0 && one.found.includes(picked)
    const found = one.level > 1 && one.found.some(marked)
    const fill = one.level === 0 ? alive.plain : one.level === 1 ? alive.pale[one.kind] : alive.fill[one.kind]
    const values = [one.level, one.node, one.storage, one.left, one.right, -one.level - 1 + alive.gap, -one.level, one.left,
      icicleCut(one.label, pixels, one.level === 1), one.level === 0 || size.length * 6.5 + 6 > pixels ? "" : size,
      one.label, one.bytes, kind, `${exact(one.count)} storage${one.count === 1 ? "" : "s"}, ${size}`, fill,
      one.level < 2 ? alive.dark : alive.ink[one.kind],
      chosen ? alive.chosen : found ? alive.found : alive.edge, chosen || found ? 3 : 0.6]
    names.forEach((name, at) => columns[name].push(values[at]))
  }
  return columns
}

// Those of `columns` that are written into boxes: twin of word_columns.
function icicleWords(columns) {
  const rows = columns.upper.map((_, at) => at).filter((at) => columns.upper[at] || columns.lower[at])
  return Object.fromEntries(["x", "top", "upper", "lower", "ink"].map((name) => [name, rows.map((at) => columns[name][at])]))
}
