// Numbers and sizes as report/units.py writes them, and lists of names; in front of all code of the page that tells of either.

// What `lists` in selection.py was given.
function listsOf(source) {
  if (source._roam_tags !== source.tags[0]) source._roam_lists = JSON.parse(source._roam_tags = source.tags[0])
  return source._roam_lists
}

function exact(n) { return Math.round(n).toString().replace(/\B(?=(\d{3})+(?!\d))/g, ",") }

function bytesText(n) {
  for (const [name, unit, digits] of [["GiB", 2 ** 30, 2], ["MiB", 2 ** 20, 1], ["KiB", 2 ** 10, 1]])
    if (n >= unit) {
      const [whole, part] = (n / unit).toFixed(digits).split(".")
      return `${exact(Number(whole))}.${part} ${name}`
    }
  return `${exact(n)} B`
}
