/** What `roam frontier -o` writes, read without believing anything in it: memory of the whole step by extra time. */

import { list, number, optionalText, size, table } from './planfile';
import { bytesText, grouped } from './units';

export interface IFrontierPoint {
  readonly extraTime: number;
  readonly arenaBytes: number;
  readonly peakBytes: number;
  readonly recomputed: number;
  readonly offloadedBytes: number;
}

export interface IFrontier {
  readonly name: string;
  readonly residentBytes: number;
  /** Live bytes above the residents: of the eager step, or of the captured order where the file knows no more. */
  readonly eagerPeakBytes: number;
  readonly eagerName: 'eager' | 'captured order';
  /** By ascending extra time, none dominated. */
  readonly points: ReadonlyArray<IFrontierPoint>;
  /** Where the ops' times are from. */
  readonly times: string;
  /** Every block of the model recomputed, and nothing else; null where the file has none. */
  readonly checkpointed: IFrontierPoint | null;
}

const MOST_POINTS = 10_000;

/** Whether parsed data is meant to be a frontier; it may still be a bad one. */
export function isFrontier(value: unknown): boolean {
  const data = value as { format?: unknown; points?: unknown } | null;
  return typeof data === 'object' && data !== null && data.format === undefined && Array.isArray(data.points);
}

/** The frontier in parsed data, checked. Raises PlanError. */
export function frontierOfData(value: unknown): IFrontier {
  const data = table(value, 'the file');
  const known = data.eager_peak_bytes !== undefined && data.eager_peak_bytes !== null;
  const points = list(data.points, 'points', MOST_POINTS).map((one, at) => readPoint(one, `point ${at}`));
  return {
    name: optionalText(data.name),
    residentBytes: size(data.resident_bytes, 'resident_bytes'),
    eagerPeakBytes: known
      ? size(data.eager_peak_bytes, 'eager_peak_bytes')
      : size(data.captured_peak_bytes, 'captured_peak_bytes'),
    eagerName: known ? 'eager' : 'captured order',
    points: points.sort((one, other) => one.extraTime - other.extraTime),
    times: optionalText(data.times),
    checkpointed: data.checkpointed ? readPoint(data.checkpointed, 'checkpointed') : null
  };
}

/** Bytes of the whole step at a point: resident + arena. */
export function wholeBytes(frontier: IFrontier, point: IFrontierPoint): number {
  return frontier.residentBytes + point.arenaBytes;
}

/** Bytes of the whole step without a plan: resident + live. */
export function eagerBytes(frontier: IFrontier): number {
  return frontier.residentBytes + frontier.eagerPeakBytes;
}

/** Eager, the first and the last point in a sentence. */
export function frontierText(frontier: IFrontier): string {
  const { points } = frontier;
  if (!points.length) {
    return 'This frontier has no points.';
  }
  const told = (point: IFrontierPoint) =>
    `${bytesText(wholeBytes(frontier, point))} with ${grouped(100 * point.extraTime, 1)} % more time`;
  const eager = `${bytesText(eagerBytes(frontier))} ${frontier.eagerName === 'eager' ? 'eager' : 'in captured order'}`;
  const last = points.length > 1 ? `, ${told(points[points.length - 1])} at the least` : '';
  return `Whole step, predicted: ${eager}; ${told(points[0])}${last}.`;
}

function readPoint(value: unknown, what: string): IFrontierPoint {
  const data = table(value, what);
  return {
    extraTime: number(data.extra_time, `extra_time of ${what}`),
    arenaBytes: size(data.arena_bytes, `arena_bytes of ${what}`),
    peakBytes: size(data.peak_bytes, `peak_bytes of ${what}`),
    recomputed: size(data.recomputed, `recomputed of ${what}`),
    offloadedBytes: size(data.offloaded_bytes, `offloaded_bytes of ${what}`)
  };
}
