/**
 * `roam-plan/2` or `/1` read without believing anything in it: a hostile file gives a PlanError with one sentence, and never
 * more work than its own length. Nothing is sized by a number that the file claims.
 */

import { checkPlan } from './check';
import { IGraph, IOp, IPlan, IRewrites, IStorage } from './plan';

/** Files above this are not read into the page. */
export const LARGEST_FILE_BYTES = 64 * 2 ** 20;
/** Above these the page would no longer follow the hand. */
export const MOST_OPS = 500_000;
export const MOST_STORAGES = 500_000;
const MOST_LINKS = 20_000_000;
const LONGEST_TEXT = 300;

type Data = { readonly [key: string]: unknown };

/** Why a file is not shown: one sentence with what, where and what to do. */
export class PlanError extends Error {}

/** The plan in `text`, checked. Raises PlanError. */
export function readPlan(text: string): IPlan {
  return planOfData(parsed(text));
}

/** What the file of `text` holds, not checked yet. Raises PlanError. */
export function parsed(text: string): unknown {
  if (text.length > LARGEST_FILE_BYTES) {
    throw new PlanError(tooLarge(text.length));
  }
  try {
    return JSON.parse(text);
  } catch {
    throw new PlanError('This file is not JSON; write the plan again with plan.save() or roam plan.');
  }
}

/** The sentence for a file of `bytes` bytes that is not opened. */
export function tooLarge(bytes: number): string {
  const mib = (size: number) => `${Math.round(size / 2 ** 20).toLocaleString('en-US')} MiB`;
  return `This file has ${mib(bytes)}; the viewer opens at most ${mib(LARGEST_FILE_BYTES)}. Write it with --bare, or use roam report.`;
}

/** The plan in parsed `roam-plan/2` or `/1` data, checked. Raises PlanError. */
export function planOfData(value: unknown): IPlan {
  const data = table(value, 'the file');
  if (data.format !== 'roam-plan/2' && data.format !== 'roam-plan/1') {
    throw new PlanError(`format is ${short(data.format)}, not "roam-plan/2"; this is not a plan that the viewer knows.`);
  }
  const graph = data.graph === undefined || data.graph === null ? null : readGraph(data.graph);
  const order = list(data.order, 'order', MOST_OPS);
  const plan: IPlan = {
    graphSha256: text(data.graph_sha256, 'graph_sha256'),
    order: indices(order, 'order', graph ? graph.ops.length : order.length),
    offsets: readOffsets(data.offsets, graph),
    arenaBytes: size(data.arena_bytes, 'arena_bytes'),
    peakBytes: size(data.peak_bytes, 'peak_bytes'),
    lowerBoundBytes: size(data.lower_bound_bytes, 'lower_bound_bytes'),
    capturedPeakBytes: size(data.captured_peak_bytes, 'captured_peak_bytes'),
    eagerPeakBytes: size(data.eager_peak_bytes ?? 0, 'eager_peak_bytes'),
    optimal: data.optimal === true,
    status: optionalText(data.status) || (data.optimal === true ? 'optimal' : 'feasible'),
    orderStrategy: text(data.order_strategy, 'order_strategy'),
    layoutStrategy: text(data.layout_strategy, 'layout_strategy'),
    seconds: typeof data.seconds === 'number' && data.seconds >= 0 ? data.seconds : NaN,
    seed: typeof data.seed === 'number' ? data.seed : 0,
    rewrites: readRewrites(data.rewrites, data.savings),
    extraTime: typeof data.extra_time === 'number' && isFinite(data.extra_time) ? data.extra_time : 0,
    environment: Object.entries(table(data.environment ?? {}, 'environment'))
      .slice(0, 50)
      .map(([key, entry]) => [clip(key), optionalText(entry)]),
    graph
  };
  const fault = checkPlan(plan);
  if (fault) {
    throw new PlanError(fault);
  }
  return plan;
}

/** By kind, as often as each is there; at most as many kinds as a person reads. */
function readRewrites(rewrites: unknown, savings: unknown): IRewrites[] {
  const count = new Map<string, number>();
  for (const entry of list(rewrites ?? [], 'rewrites', MOST_OPS)) {
    const kind = optionalText(table(entry, 'a rewrite').kind) || 'unknown';
    count.set(kind, (count.get(kind) ?? 0) + 1);
  }
  const saved = new Map<string, number>();
  for (const entry of list(savings ?? [], 'savings', MOST_OPS)) {
    const { kind, bytes } = table(entry, 'a saving');
    if (typeof bytes === 'number' && Number.isSafeInteger(bytes)) {
      saved.set(optionalText(kind), bytes);
    }
  }
  return [...count].slice(0, 20).map(([kind, times]) => ({ kind, count: times, savedBytes: saved.get(kind) ?? null }));
}

function readGraph(value: unknown): IGraph {
  const data = table(value, 'graph');
  if (data.format !== 'roam-graph/2' && data.format !== 'roam-graph/1') {
    throw new PlanError(`graph: format is ${short(data.format)}, not "roam-graph/2"; plan the graph again.`);
  }
  const storages = list(data.storages, 'graph: storages', MOST_STORAGES).map(readStorage);
  if (storages.reduce((sum, storage) => sum + storage.bytes, 0) > Number.MAX_SAFE_INTEGER) {
    throw new PlanError('graph: the storages claim more than 2^53 bytes together; check the file\'s writer.');
  }
  const resident = storages.reduce((sum, storage) => sum + (storage.resident ? storage.bytes : 0), 0);
  let links = 0;
  const ops = list(data.ops, 'graph: ops', MOST_OPS).map((entry, index, all): IOp => {
    const op = table(entry, `op ${index}`);
    const read = (key: string, below: number) => {
      const found = list(op[key] ?? [], `op ${index}: ${key}`, MOST_LINKS - links);
      links += found.length;
      return indices(found, `op ${index}: ${key}`, below);
    };
    return {
      name: optionalText(op.name) || `op_${index}`,
      target: optionalText(op.target),
      phase: optionalText(op.phase),
      module: optionalText(op.module),
      source: optionalText(op.source),
      after: read('after', all.length),
      creates: read('creates', storages.length),
      touches: [...new Set(['reads', 'writes', 'touches'].flatMap(key => read(key, storages.length)))].filter(
        storage => !storages[storage].resident
      )
    };
  });
  return {
    name: optionalText(data.name),
    residentBytes: size(data.resident_bytes ?? 0, 'graph: resident_bytes') + resident,
    storages,
    ops
  };
}

function readStorage(entry: unknown, index: number): IStorage {
  const data = table(entry, `storage ${index}`);
  const shape = data.shape;
  return {
    bytes: size(data.bytes, `storage ${index}: bytes`),
    output: data.output === true,
    external: data.external === true || data.region === 'op',
    resident: data.region === 'resident' || data.region === 'host',
    kind: optionalText(data.kind),
    shape: Array.isArray(shape) ? `[${shape.slice(0, 16).map(optionalText).join(', ')}]` : '',
    dtype: optionalText(data.dtype)
  };
}

function readOffsets(value: unknown, graph: IGraph | null): Map<number, number> {
  const entries = Object.entries(table(value, 'offsets'));
  if (entries.length > MOST_STORAGES) {
    throw new PlanError(`offsets has ${entries.length} entries; the viewer shows at most ${MOST_STORAGES}.`);
  }
  const limit = graph ? graph.storages.length : Number.MAX_SAFE_INTEGER;
  const offsets = new Map<number, number>();
  for (const [key, offset] of entries) {
    const storage = /^(0|[1-9][0-9]{0,15})$/.test(key) ? Number(key) : limit;
    if (storage >= limit) {
      throw new PlanError(`offsets names storage ${short(key)}, which the graph has not; plan the graph again.`);
    }
    offsets.set(storage, size(offset, `offsets of ${storage}`));
  }
  return offsets;
}

export function table(value: unknown, what: string): Data {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new PlanError(`${what} is ${short(value)}, not an object; this is not a whole plan.`);
  }
  return value as Data;
}

export function list(value: unknown, what: string, most: number): ReadonlyArray<unknown> {
  if (!Array.isArray(value)) {
    throw new PlanError(`${what} is ${short(value)}, not a list; this is not a whole plan.`);
  }
  if (value.length > most) {
    throw new PlanError(`${what} has ${value.length} entries; the viewer shows at most ${most}.`);
  }
  return value;
}

function indices(values: ReadonlyArray<unknown>, what: string, below: number): ReadonlyArray<number> {
  for (const value of values) {
    if (!Number.isSafeInteger(value) || (value as number) < 0 || (value as number) >= below) {
      throw new PlanError(`${what} names ${short(value)}, outside 0 to ${below - 1}; check the file's writer.`);
    }
  }
  return values as ReadonlyArray<number>;
}

export function size(value: unknown, what: string): number {
  if (!Number.isSafeInteger(value) || (value as number) < 0) {
    throw new PlanError(`${what} is ${short(value)}, not an integer from 0 to 2^53; check the file's writer.`);
  }
  return value as number;
}

/** A number from 0, such as a share of the time. */
export function number(value: unknown, what: string): number {
  if (typeof value !== 'number' || !isFinite(value) || value < 0) {
    throw new PlanError(`${what} is ${short(value)}, not a number from 0; check the file's writer.`);
  }
  return value;
}

function text(value: unknown, what: string): string {
  if (typeof value !== 'string') {
    throw new PlanError(`${what} is ${short(value)}, not a text; this is not a whole plan.`);
  }
  return clip(value);
}

/** A text, number or truth as text; '' for all else, whose inside may be as deep as the file is long. */
export function optionalText(value: unknown): string {
  return ['string', 'number', 'boolean'].includes(typeof value) ? clip(String(value)) : '';
}

function clip(value: string): string {
  return value.length > LONGEST_TEXT ? `${value.slice(0, LONGEST_TEXT - 1)}…` : value;
}

/** What stands there, fit for one line; never the inside of a list or object, which may be deep. */
function short(value: unknown): string {
  if (value === undefined) {
    return 'missing';
  }
  if (Array.isArray(value)) {
    return `a list of ${value.length}`;
  }
  if (typeof value === 'object' && value !== null) {
    return 'an object';
  }
  const shown = typeof value === 'string' ? JSON.stringify(value.slice(0, 60)) : String(value);
  return shown.length > 62 ? `${shown.slice(0, 60)}…` : shown;
}
