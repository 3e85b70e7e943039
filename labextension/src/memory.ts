/** Lifetimes and live bytes of an order: the twin of roam_lab/ir/memory.py, tested against it. */

import { IGraph } from './plan';

export interface ILifetime {
  readonly storage: number;
  readonly start: number;
  readonly end: number;
  readonly bytes: number;
}

/** Lifetimes, half-open in steps, of every created storage that has bytes, by storage index. */
export function lifetimes(graph: IGraph, order: ReadonlyArray<number>): ILifetime[] {
  const count = graph.storages.length;
  const start = new Int32Array(count).fill(-1);
  const end = new Int32Array(count);
  order.forEach((index, step) => {
    const op = graph.ops[index];
    for (const storage of op.creates) {
      start[storage] = step;
      end[storage] = step + 1;
    }
    for (const storage of op.touches) {
      end[storage] = step + 1;
    }
  });
  const found: ILifetime[] = [];
  graph.storages.forEach(({ bytes, output }, storage) => {
    if (bytes && start[storage] >= 0) {
      found.push({ storage, start: start[storage], end: output ? order.length : end[storage], bytes });
    }
  });
  return found;
}

/** Live bytes while each of `steps` steps runs, without resident bytes. */
export function liveCurve(lives: ReadonlyArray<ILifetime>, steps: number): Float64Array {
  const curve = new Float64Array(steps + 1);
  for (const { start, end, bytes } of lives) {
    curve[start] += bytes;
    curve[end] -= bytes;
  }
  for (let step = 1; step <= steps; step++) {
    curve[step] += curve[step - 1];
  }
  return curve.subarray(0, steps);
}

/** The most bytes live at once, and the first step at which they are. */
export function peakOf(curve: Float64Array): { bytes: number; step: number } {
  let step = 0;
  for (let index = 1; index < curve.length; index++) {
    if (curve[index] > curve[step]) {
      step = index;
    }
  }
  return { bytes: curve[step] ?? 0, step };
}

/** The captured order: the ops as eager PyTorch ran them. */
export function capturedOrder(graph: IGraph): number[] {
  return graph.ops.map((_, index) => index);
}

/**
 * Where each step boundary (0 to `steps`) lies on an axis on which steps that neither allocate nor free have no
 * width: in a captured step a third of the ops are scalar arithmetic.
 */
export function foldedSteps(lives: ReadonlyArray<ILifetime>, steps: number): Float64Array {
  const busy = new Uint8Array(steps + 1);
  for (const { start, end } of lives) {
    busy[start] = 1;
    busy[end] = 1;
  }
  const places = new Float64Array(steps + 1);
  for (let step = 0; step < steps; step++) {
    places[step + 1] = places[step] + (busy[step] || busy[step + 1] ? 1 : 0);
  }
  return places;
}
