// Folding and laying out the module tree in the page: the twin of views/folding.py and views/graph.py, tested against them.
// `tree` is what figures/graph.py's tree_data makes; cells and bands come out as bokeh columns.

// The tree that a source carries as text, read once.
function foldTree(words) {
  if (words._roam_text !== words.tags[0]) {
    words._roam_text = words.tags[0]
    words._roam_tree = JSON.parse(words.tags[0])
  }
  return words._roam_tree
}

function foldRows(tree, opened) {
  if (!tree.children[0].length) return tree.ops[0].some((n) => n > 0) ? [0] : []
  const open = new Set([0, ...opened])
  const seen = []
  const stack = [...tree.children[0]].reverse()
  while (stack.length) {
    const number = stack.pop()
    const children = tree.children[number]
    if (open.has(number) && children.length) stack.push(...[...children].reverse())
    else seen.push(number)
  }
  return seen
}

function foldCells(tree, seen) {
  return seen.reduce((sum, number) => sum + tree.ops[number].filter((n) => n > 0).length, 0)
}

function foldInside(tree, number) {
  const found = new Set()
  const stack = [number]
  while (stack.length) {
    const one = stack.pop()
    found.add(one)
    stack.push(...tree.children[one])
  }
  return found
}

function foldToggled(tree, opened, number) {
  if (!tree.children[number].length) return opened
  const without = (list, one) => {
    const inside = foldInside(tree, one)
    return list.filter((other) => !inside.has(other))
  }
  if (opened.includes(number)) return without(opened, number)
  let kept = [...opened, number]
  const ancestors = new Set([number])
  for (let one = tree.parent[number]; one >= 0; one = tree.parent[one]) ancestors.add(one)
  while (foldCells(tree, foldRows(tree, kept)) > tree.most_cells) {
    const oldest = kept.find((one) => !ancestors.has(one))
    if (oldest === undefined) return foldCells(tree, foldRows(tree, opened)) <= tree.most_cells ? opened : []
    kept = without(kept, oldest)
  }
  return kept
}

function foldRowOf(tree, seen) {
  const rowOf = new Array(tree.parent.length).fill(-1)
  seen.forEach((number, row) => { rowOf[number] = row })
  tree.parent.forEach((parent, number) => { if (rowOf[number] < 0 && parent >= 0) rowOf[number] = rowOf[parent] })
  return rowOf
}

function foldBands(tree, rowOf, seen) {
  const sums = new Map()
  for (const [from, fromPhase, to, toPhase, bytes, largest] of tree.kept) {
    const key = [rowOf[from], fromPhase, rowOf[to], toPhase]
    const band = sums.get(String(key)) ?? { key, bytes: 0, best: [0, -1] }
    band.bytes += bytes
    if (bytes > band.best[0] || (bytes === band.best[0] && largest > band.best[1])) band.best = [bytes, largest]
    sums.set(String(key), band)
  }
  const compare = (a, b) => b.bytes - a.bytes || a.key.map((n, i) => n - b.key[i]).find((d) => d) || 0
  const shown = [...sums.values()].sort(compare)
  const most = shown.length ? shown[0].bytes : 1
  const columns = { xs: [], ys: [], text: [], bytes: [], storage: [], fill: [] }
  for (const { key, bytes, best } of shown.slice(0, tree.most_bands)) {
    const [start, fromPhase, end, toPhase] = key
    const height = Math.max((tree.band * bytes) / most, tree.thinnest)
    const left = tree.columns[fromPhase][1], right = tree.columns[toPhase][0]
    const steps = start === end ? 1 : tree.steps
    const x = [], y = []
    for (let step = 0; step <= steps; step++) {
      x.push(left + ((right - left) * step) / steps)
      y.push(-start - ((end - start) * (1 - Math.cos((Math.PI * step) / steps))) / 2)
    }
    columns.xs.push([...x, ...[...x].reverse()])
    columns.ys.push([...y.map((one) => one + height / 2), ...[...y].reverse().map((one) => one - height / 2)])
    const source = `${tree.label[seen[start]]} ${tree.phases[fromPhase]}`
    const target = `${tree.label[seen[end]]} ${tree.phases[toPhase]}`
    columns.text.push(`${source} → ${target}: ${bytesText(bytes)} kept`)
    columns.bytes.push(bytes)
    columns.storage.push(best[1])
    columns.fill.push(tree.fill[fromPhase])
  }
  return columns
}

function foldBrackets(tree, seen) {
  const spans = new Map()
  seen.forEach((number, row) => {
    for (let one = tree.parent[number]; one > 0; one = tree.parent[one])
      spans.set(one, [spans.has(one) ? spans.get(one)[0] : row, row])
  })
  const levels = new Map()
  const open = [...spans.keys()].sort((a, b) => a - b)
  for (const number of [...open].reverse()) {
    const below = tree.children[number].filter((child) => levels.has(child)).map((child) => levels.get(child))
    levels.set(number, Math.max(-1, ...below) + 1)
  }
  return open.map((number) => [number, levels.get(number), ...spans.get(number)])
}

// How many letters fit into a column's cell: of its name, and of the smaller line below; `unit`: pixels of a column.
function foldLetters(tree, unit) {
  const fits = (pixels) => tree.columns.map(([left, right]) => Math.floor(((right - left) * unit - 6) / pixels))
  return { ...tree, letters: [...fits(tree.letter), tree.letters[3]], smaller: fits(tree.small_letter) }
}

function foldTail(text, limit) {
  return text.length <= limit ? text : "…" + text.slice(text.length - limit + 1)
}

function foldFlow(tree, rows) {
  const flow = { xs: [], ys: [], x: [], y: [], marker: [] }
  const add = (xs, ys, marker) => {
    flow.xs.push(xs)
    flow.ys.push(ys)
    flow.x.push(xs[xs.length - 1])
    flow.y.push(ys[ys.length - 1])
    flow.marker.push(marker)
  }
  const at_x = [0, 1].map((phase) => tree.columns[phase][0] + tree.flow * (tree.columns[phase][1] - tree.columns[phase][0]))
  for (const phase of [0, 1])
    for (let at = 1; at < rows[phase].length; at++) {
      const ends = [-rows[phase][at - 1] - tree.half, -rows[phase][at] + tree.half]
      if (phase) ends.reverse()
      add([at_x[phase], at_x[phase]], ends, phase ? "triangle" : "inverted_triangle")
    }
  if (rows[0].length && rows[1].length) {
    const last = [0, 1].map((phase) => -rows[phase][rows[phase].length - 1] - tree.half)
    const floor = Math.min(...last) - tree.turn
    add([at_x[0], at_x[0], at_x[1], at_x[1]], [last[0], floor, floor, last[1]], "triangle")
  }
  return flow
}

function foldColumns(tree, opened, storage) {
  const seen = foldRows(tree, opened)
  const rowOf = foldRowOf(tree, seen)
  const place = storage < 0 ? -1 : tree.cell_of[storage]
  const names = ["node", "storage", "label", "short", "sub", "left", "right", "middle", "bottom", "top", "upper",
    "lower", "fill", "hatch", "line", "width", "mark", "hint"]
  const cells = Object.fromEntries(names.map((name) => [name, []]))
  const rows = [[], [], []]
  seen.forEach((number, row) => {
    for (let phase = 0; phase < 3; phase++) {
      if (!tree.ops[number][phase]) continue
      rows[phase].push(row)
      const [left, right] = tree.columns[phase]
      const folds = tree.children[number].length > 0
      const peak = tree.peak !== null && rowOf[tree.peak[0]] === row && tree.peak[1] === phase
      const picked = place >= 0 && rowOf[Math.floor(place / 3)] === row && place % 3 === phase
      const sub = tree.sub[number][phase], two = sub.length > tree.smaller[phase] && sub.includes(tree.keeps)
      const values = [number, tree.largest[number][phase], tree.label[number],
        (folds ? "+ " : "") + foldTail(tree.label[number], tree.letters[phase]),
        two ? sub.replace(tree.keeps, "\n" + tree.keeps.trimStart().slice(2)) : sub, left, right,
        (left + right) / 2, -row - tree.half, -row + tree.half, -row + tree.upper[+two], -row - tree.lower[+two],
        tree.fill[phase], tree.hatch[phase], picked ? tree.ink : peak ? tree.peak_line : tree.fill[phase],
        picked ? 4 : peak ? 3 : 1, peak ? tree.peak_text : "", folds ? tree.hints[0] : tree.hints[1]]
      names.forEach((name, at) => cells[name].push(values[at]))
    }
  })
  const bands = foldBands(tree, rowOf, seen)
  const bars = foldBrackets(tree, seen)
  const brackets = {
    node: bars.map(([node]) => node),
    left: bars.map(([, level]) => -tree.bracket * (level + 1)),
    right: bars.map(([, level]) => -tree.bracket * (level + 0.12)),
    middle: bars.map(([, level]) => -tree.bracket * (level + 0.56)),
    top: bars.map(([, , first]) => -first + tree.half),
    bottom: bars.map(([, , , last]) => -last - tree.half),
    centre: bars.map(([, , first, last]) => -(first + last) / 2),
    label: bars.map(([node]) => tree.label[node]),
    short: bars.map(([node, , first, last]) => "– " + foldTail(tree.label[node], (last - first + 1) * tree.letters[3])),
  }
  const deep = Math.max(-1, ...bars.map(([, level]) => level)) + 1
  return { cells, bands, brackets, flow: foldFlow(tree, rows), deep, rows: seen.length }
}
