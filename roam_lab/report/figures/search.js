// What a search finds: steps whose op, operator, module and source line together have every word, and the storages that they create.

function searchTerms(query) {
  const escaped = (word) => word.replace(/[.+?^${}()|[\]\\]/g, "\\$&").replace(/\*/g, "[^.]*")
  return query.trim().split(/\s+/).filter((word) => word).map((word) => new RegExp(escaped(word), "i"))
}

function searchSteps(d, names, query) {
  const terms = searchTerms(query)
  const found = []
  if (terms.length)
    for (let step = 0; step < d.op.length; step++) {
      const place = `${names.modules[d.module[step]]} ${names.sources[d.source[step]]}`
      const text = `${d.op[step]} ${names.operators[d.operator[step]]} ${place}`
      if (terms.every((term) => term.test(text))) found.push(step)
    }
  return found
}

function searchStorages(tensors, steps) {
  const made = new Set(steps)
  const found = []
  for (let s = 0; s < tensors.start.length; s++) if (tensors.start[s] >= 0 && made.has(tensors.start[s])) found.push(s)
  return found
}

// Rectangles of a figure's own source, each once, for the rows that show a storage.
function searchRows(source, rowsOf, storages, names) {
  const rows = [...new Set(storages.flatMap(rowsOf))].filter((row) => row >= 0)
  return Object.fromEntries(names.map(([to, from]) => [to, rows.map((row) => source.data[from][row])]))
}
