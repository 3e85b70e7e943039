/** The judge of what the viewer draws: every claim of a plan that its own graph can refute. */

import { capturedOrder, ILifetime, lifetimes, liveCurve, peakOf } from './memory';
import { IGraph, IPlan } from './plan';

const AGAIN = '; plan the graph again.';

/** The first thing about `plan` that is not so, as a sentence; '' when nothing is. */
export function checkPlan(plan: IPlan): string {
  return claimsFault(plan) || (plan.graph ? graphFault(plan, plan.graph) : '');
}

function claimsFault(plan: IPlan): string {
  const seen = new Uint8Array(plan.order.length);
  plan.order.forEach(index => (seen[index] = 1));
  if (seen.some(found => !found)) {
    return `order is not a permutation of 0 to ${plan.order.length - 1}${AGAIN}`;
  }
  if (plan.lowerBoundBytes > plan.peakBytes) {
    return `lower_bound_bytes is ${plan.lowerBoundBytes}, above peak_bytes ${plan.peakBytes}${AGAIN}`;
  }
  if (plan.optimal !== (plan.peakBytes === plan.lowerBoundBytes)) {
    return `optimal is ${plan.optimal}, but peak_bytes is ${plan.peakBytes} and lower_bound_bytes ${plan.lowerBoundBytes}${AGAIN}`;
  }
  if (plan.peakBytes > plan.arenaBytes) {
    return `peak_bytes is ${plan.peakBytes}, above arena_bytes ${plan.arenaBytes}${AGAIN}`;
  }
  const high = [...plan.offsets].find(([, offset]) => offset > plan.arenaBytes);
  return high ? `storage ${high[0]} lies at ${high[1]}, outside the arena of ${plan.arenaBytes} bytes${AGAIN}` : '';
}

function graphFault(plan: IPlan, graph: IGraph): string {
  if (plan.order.length !== graph.ops.length) {
    return `order has ${plan.order.length} steps, but the graph ${graph.ops.length} ops${AGAIN}`;
  }
  const captured = capturedOrder(graph);
  const illegal = orderFault(graph, captured) || orderFault(graph, plan.order);
  if (illegal) {
    return illegal;
  }
  const lives = lifetimes(graph, plan.order);
  const peak = peakOf(liveCurve(lives, plan.order.length)).bytes;
  if (peak !== plan.peakBytes) {
    return `peak_bytes is ${plan.peakBytes}, but the order's peak is ${peak}${AGAIN}`;
  }
  const before = peakOf(liveCurve(lifetimes(graph, captured), plan.order.length)).bytes;
  if (!plan.rewrites.length && before !== plan.capturedPeakBytes) {
    return `captured_peak_bytes is ${plan.capturedPeakBytes}, but the graph's is ${before}${AGAIN}`;
  }
  return placeFault(plan, lives) || overlapFault(plan, lives);
}

/** Every op after those it waits for, every storage created once and before it is touched. */
function orderFault(graph: IGraph, order: ReadonlyArray<number>): string {
  const done = new Uint8Array(graph.ops.length);
  const created = new Uint8Array(graph.storages.length);
  for (const index of order) {
    const op = graph.ops[index];
    const early = op.after.find(other => !done[other]);
    if (early !== undefined) {
      return `op ${index} (${op.name}) runs before op ${early}, which it waits for${AGAIN}`;
    }
    for (const storage of op.creates) {
      if (created[storage]) {
        return `op ${index} (${op.name}) creates storage ${storage} a second time${AGAIN}`;
      }
      created[storage] = 1;
    }
    const missing = op.touches.find(storage => !created[storage]);
    if (missing !== undefined) {
      return `op ${index} (${op.name}) touches storage ${missing} before it is created${AGAIN}`;
    }
    done[index] = 1;
  }
  return '';
}

function placeFault(plan: IPlan, lives: ReadonlyArray<ILifetime>): string {
  for (const { storage, bytes } of lives) {
    const offset = plan.offsets.get(storage);
    if (offset === undefined) {
      return `storage ${storage} has ${bytes} bytes and no offset${AGAIN}`;
    }
    if (offset + bytes > plan.arenaBytes) {
      return `storage ${storage} ends at ${offset + bytes}, outside the arena of ${plan.arenaBytes} bytes${AGAIN}`;
    }
  }
  return '';
}

/** Entries moved in the sorted list below before the check gives up; real plans of 100,000 ops stay far under it. */
const MOST_MOVES = 1e9;

/** No two storages that live at once share a byte: one sweep over time, the living kept sorted by offset. */
function overlapFault(plan: IPlan, lives: ReadonlyArray<ILifetime>): string {
  const offset = (life: ILifetime) => plan.offsets.get(life.storage) as number;
  const events = lives.flatMap(life => [
    { step: life.start, add: 1, life },
    { step: life.end, add: 0, life }
  ]);
  events.sort((one, other) => one.step - other.step || one.add - other.add);
  const living: ILifetime[] = [];
  let moves = 0;
  for (const { add, life } of events) {
    let low = 0;
    for (let high = living.length; low < high; ) {
      const middle = (low + high) >> 1;
      offset(living[middle]) < offset(life) ? (low = middle + 1) : (high = middle);
    }
    moves += living.length - low;
    if (moves > MOST_MOVES) {
      return 'too many storages live at once for the viewer to check them; use roam report.';
    }
    if (!add) {
      living.splice(low, 1);
      continue;
    }
    const [below, above] = [living[low - 1], living[low]];
    const hit =
      below && offset(below) + below.bytes > offset(life)
        ? below
        : above && offset(life) + life.bytes > offset(above)
          ? above
          : null;
    if (hit) {
      return `storages ${hit.storage} and ${life.storage} share bytes while both live${AGAIN}`;
    }
    living.splice(low, 0, life);
  }
  return '';
}
