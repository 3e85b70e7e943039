// Held against pixels: what tests/contrast.py asks of a page, as functions of one object.
({
hear: () => {
  window.roamWritten = new Map()
  const proto = CanvasRenderingContext2D.prototype
  window.roamOwn = [proto.fillText, proto.clearRect]
  proto.fillText = function (text, x, y) {
    const told = this.measureText(text), at = this.getTransform()
    const left = x - told.actualBoundingBoxLeft, right = x + told.actualBoundingBoxRight
    const top = y - told.actualBoundingBoxAscent, bottom = y + told.actualBoundingBoxDescent
    const corners = [[left, top], [right, bottom], [left, bottom], [right, top]].map(([x, y]) => at.transformPoint({x, y}))
    const list = window.roamWritten.get(this.canvas) ?? []
    list.push({text, colour: this.fillStyle, alpha: this.globalAlpha, corners: corners.map(({x, y}) => [x, y])})
    window.roamWritten.set(this.canvas, list)
  }
  const clear = proto.clearRect
  proto.clearRect = function (...box) { window.roamWritten.delete(this.canvas); clear.apply(this, box) }
},

words: selector => {
  const found = [], roots = [document]
  const deep = (x, y) => {
    let one = document.elementFromPoint(x, y)
    while (one?.shadowRoot) { const inner = one.shadowRoot.elementFromPoint(x, y); if (!inner || inner === one) break; one = inner }
    return one
  }
  const above = (one) => one.parentElement ?? one.getRootNode()?.host ?? null
  const within = (one) => { for (let at = one; at; at = above(at)) if (at.matches(selector)) return true; return false }
  const alpha = (one) => { let all = 1; for (let at = one; at; at = above(at)) all *= Number(getComputedStyle(at).opacity); return all }
  const kin = (hit, one) => {
    if (hit instanceof SVGTextElement && hit.ownerSVGElement === one.ownerSVGElement) return true  // words over words
    for (let at = hit; at; at = above(at)) if (at === one) return true
    for (let at = one; at; at = above(at)) if (at === hit) return true
    return false
  }
  // what an ancestor cuts off is not seen
  const cut = (box, one) => {
    let [left, top, right, bottom] = [box.x, box.y, box.right, box.bottom]
    for (let at = one; at && at !== document.body; at = above(at)) {
      if (getComputedStyle(at).overflow === "visible") continue
      const edge = at.getBoundingClientRect(), x = edge.x + at.clientLeft, y = edge.y + at.clientTop  // inside its border
      ;[left, top] = [Math.max(left, x), Math.max(top, y)]
      ;[right, bottom] = [Math.min(right, x + (at.clientWidth || edge.width)), Math.min(bottom, y + (at.clientHeight || edge.height))]
    }
    return {x: left, y: top, right, bottom, width: right - left, height: bottom - top}
  }
  const add = (one, text, boxes) => {
    const style = getComputedStyle(one), svg = one instanceof SVGElement
    const colour = svg ? style.fill : style.webkitTextFillColor
    const seen = [...boxes].map((box) => ({whole: box, ...cut(box, one)})).filter((box) => box.width > 2 && box.height > 2)
    const shown = seen.filter((box) => kin(deep(box.x + box.width / 2, box.y + box.height / 2), one))
    const edge = (whole, box) => svg && (box.x - whole.x > 2 || whole.right - box.right > 2 || box.y - whole.y > 3 || whole.bottom - box.bottom > 3)
    for (const box of shown)
      found.push({text: text.trim().slice(0, 80), colour, alpha: alpha(one), box: [box.x, box.y, box.right, box.bottom],
        lost: edge(box.whole, box), where: `${one.tagName}.${one.getAttribute("class") ?? ""}`})
  }
  for (const root of roots) {
    const walk = document.createTreeWalker(root, NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_TEXT)
    for (let node = walk.nextNode(); node; node = walk.nextNode()) {
      if (node.shadowRoot) roots.push(node.shadowRoot)
      if (node.nodeType === 1 && /^(INPUT|TEXTAREA|SELECT)$/.test(node.tagName)) {
        const words = node.tagName === "SELECT" ? node.selectedOptions[0]?.text : node.value
        if (words && !node.disabled && node.checkVisibility({visibilityProperty: true}) && within(node) &&
            !/checkbox|radio|range/.test(node.type)) add(node, words, [node.getBoundingClientRect()])
      }
      const one = node.parentElement
      if (node.nodeType !== 3 || !node.data.trim() || !one || /^(STYLE|SCRIPT|OPTION|TITLE)$/i.test(one.tagName)) continue
      if (!one.checkVisibility({visibilityProperty: true, opacityProperty: true}) || one.closest(":disabled") || !within(one)) continue
      const range = document.createRange()
      range.selectNodeContents(node)
      add(one, node.data, range.getClientRects())
    }
  }
  for (const [canvas, list] of window.roamWritten ?? []) {
    if (!canvas.isConnected || !canvas.checkVisibility({visibilityProperty: true})) continue
    const host = above(canvas)
    if (!within(host)) continue
    const page = canvas.getBoundingClientRect(), scale = page.width / canvas.width
    for (const {text, colour, alpha, corners} of list) {
      const x = corners.map(([x]) => page.x + x * scale), y = corners.map(([, y]) => page.y + y * scale)
      const whole = [Math.min(...x), Math.min(...y), Math.max(...x), Math.max(...y)]
      const box = [Math.max(whole[0], page.x), Math.max(whole[1], page.y), Math.min(whole[2], page.right), Math.min(whole[3], page.bottom)]
      const lost = whole.some((edge, at) => Math.abs(edge - box[at]) > 2)
      if (text.trim() && box[2] - box[0] > 2 && box[3] - box[1] > 2) found.push({text, colour, alpha, box, lost, where: "canvas"})
    }
  }
  for (const root of roots) {
    const style = document.createElement("style")
    style.className = "roam-no-words"
    style.textContent = "* { -webkit-text-fill-color: transparent !important; caret-color: transparent !important } text, tspan { fill: transparent !important }"
    ;(root.head ?? root).append(style)
  }
  return found
},

show: () => {
  const proto = CanvasRenderingContext2D.prototype
  ;[proto.fillText, proto.clearRect] = window.roamOwn
  const roots = [document]
  for (const root of roots) {
    for (const one of root.querySelectorAll("*")) if (one.shadowRoot) roots.push(one.shadowRoot)
    root.querySelectorAll("style.roam-no-words").forEach((one) => one.remove())
  }
},

judge: async ([png, words, least, most]) => {
  const bytes = Uint8Array.from(atob(png), (letter) => letter.charCodeAt(0))  // a page may forbid to fetch
  const image = await createImageBitmap(new Blob([bytes], {type: "image/png"}))
  const canvas = new OffscreenCanvas(image.width, image.height), to = canvas.getContext("2d")
  to.drawImage(image, 0, 0)
  const read = new OffscreenCanvas(1, 1).getContext("2d", {willReadFrequently: true})
  const rgba = (colour) => {
    read.clearRect(0, 0, 1, 1); read.fillStyle = colour; read.fillRect(0, 0, 1, 1)
    return [...read.getImageData(0, 0, 1, 1).data]
  }
  const light = (rgb) => rgb.map((part) => part / 255).map((share) =>
    share <= 0.04045 ? share / 12.92 : Math.pow((share + 0.055) / 1.055, 2.4)).reduce((sum, one, at) => sum + one * [0.2126, 0.7152, 0.0722][at], 0)
  const told = []
  for (const {text, colour, alpha, box, where} of words) {
    const [x, y] = [Math.floor(box[0]), Math.floor(box[1])]
    const [width, height] = [Math.max(Math.ceil(box[2]) - x, 1), Math.max(Math.ceil(box[3]) - y, 1)]
    if (x < 0 || y < 0 || x >= image.width || y >= image.height) continue
    const pixels = to.getImageData(x, y, width, height).data, counts = new Map()
    for (let at = 0; at < pixels.length; at += 4) {
      const key = `${pixels[at]},${pixels[at + 1]},${pixels[at + 2]},${pixels[at + 3]}`
      counts.set(key, (counts.get(key) ?? 0) + 1)
    }
    const ink = rgba(colour), share = (ink[3] / 255) * alpha
    if (!share) continue
    let poor = 0, all = 0, worst = 21
    for (const [key, count] of counts) {
      const [red, green, blue, there] = key.split(",").map(Number)
      if (there < 255) continue  // outside the picture
      const behind = [red, green, blue]
      const front = behind.map((part, at) => share * ink[at] + (1 - share) * part)
      const [a, b] = [light(front), light(behind)]
      const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)
      all += count
      if (ratio < least) { poor += count; worst = Math.min(worst, ratio) }
    }
    if (poor > most * all) told.push(`${worst.toFixed(1)} ${JSON.stringify(text)} ${colour} x ${alpha} ${where}`)
  }
  return [...new Set(told)].sort()
},
})
