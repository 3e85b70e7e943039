// What the pane says of the selected storage: the twin of views/details.py, tested against it.

function detailsUser(page, step) {
  const d = page.steps
  const place = [page.stepModules[d.module[step]], page.phases[d.phase[step]]].filter((part) => part).join(", ")
  return `${d.op[step]} (${place}) at step ${exact(step + 1)}`
}

function detailsNeeded(page, s, step) {
  const later = []
  for (let at = page.usesAt[s]; at < page.usesAt[s + 1]; at++) {
    if (page.uses[at] > Math.max(step, page.tensors.start[s])) later.push(page.uses[at])
  }
  if (!later.length) return step >= page.tensors.start[s] ? "no op any more" : ""
  const count = `${exact(later.length)} op${later.length === 1 ? "" : "s"}: `
  if (later.length === 1) return count + detailsUser(page, later[0])
  return `${count}next ${detailsUser(page, later[0])}, last ${detailsUser(page, later[later.length - 1])}`
}

function detailsTime(us) {
  const [size, unit] = us >= 1e3 ? [(us / 1e3).toFixed(2), "ms"] : [us.toFixed(1), "µs"]
  const [whole, part] = size.split(".")
  return `${exact(Number(whole))}.${part} ${unit}`
}

function detailsFreed(page, s) {
  const {again, us, reads} = page.facts
  const found = page.again[again[s]]
  if (again[s] || us[s] < 0) return found
  const share = page.total ? `, ${(100 * us[s] / page.total).toFixed(2)} % of the step` : ""
  const given = reads[s] ? ` from its ${reads[s]} input${reads[s] === 1 ? "" : "s"}` : ""
  return `${found}${given}: ${detailsTime(us[s])}${share}, ${page.times}`
}

function detailsAddress(page, s) {
  const {offset, bytes} = page.tensors
  if (offset[s] < 0) return ""
  const own = page.facts.external[s] ? "; its op allocates it" : ""
  return `bytes ${exact(offset[s])} to ${exact(offset[s] + bytes[s])} of the arena${own}`
}

function detailsRows(page, s, step) {
  const d = page.tensors
  if (!(s >= 0 && s < d.bytes.length)) return [["", page.nothing]]
  const what = [`${page.kinds[d.kind[s]]}, ${bytesText(d.bytes[s])} (${exact(d.bytes[s])} byte${d.bytes[s] === 1 ? "" : "s"})`,
    page.forms[page.facts.form[s]]]
  const at = d.op[s].lastIndexOf(" (")
  const name = [at < 0 ? d.op[s] : d.op[s].slice(0, at), page.modules[d.module[s]]].filter((part) => part).join(" · ")
  const rows = [["", name || `storage ${s}`], ["what", what.filter((part) => part).join(", ")], ["made", d.op[s]],
    ["line", page.sources[d.source[s]]], ["code", page.codes[d.source[s]]], ["address", detailsAddress(page, s)]]
  if (d.start[s] >= 0) {
    const alive = step < d.start[s] ? "not made yet" : step < d.end[s] ? "alive" : "freed"
    const count = page.steps.left.length
    const span = `steps ${exact(d.start[s] + 1)} to ${exact(d.end[s])} of ${exact(count)}`
    rows.push(["lives", `${span}; ${alive} at step ${exact(step + 1)}`])
    rows.push(["needed by", detailsNeeded(page, s, step)])
    rows.push(["if freed", detailsFreed(page, s)])
  }
  return rows.filter(([, text]) => text)
}
