// The shared cursor: which step lies at a place of the axis, and what stands at a step. Twin of views/cursor.py.

function cursorStep(left, x) {
  let low = 0, high = left.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (left[middle] <= x) low = middle + 1
    else high = middle
  }
  return Math.max(low - 1, 0)
}

function cursorMove(now, steps, step) {
  const last = Math.max(steps.data.left.length - 1, 0)
  const next = Math.min(Math.max(Math.round(step), 0), last)
  if (next !== now.data.step[0]) now.data = {step: [next]}
}

// Runs once for all changes: before the next frame, as a drag moves the cursor more often than the page is painted; `now`:
// at the end of this turn, for another plan, which would be painted twice otherwise.
function cursorFrame(model, draw, now = false) {
  const run = () => {
    if (model._roam_waits) draw()
    model._roam_waits = false
  }
  if (now) queueMicrotask(run)
  else if (!model._roam_waits) requestAnimationFrame(run)
  model._roam_waits = true
}
