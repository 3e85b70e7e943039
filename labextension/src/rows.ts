/** One row a storage: what map, curve and table show of it. */

import { lifetimes } from './memory';
import { IPlan } from './plan';
import { grouped } from './units';

export interface IRow {
  readonly storage: number;
  readonly bytes: number;
  readonly kind: string;
  readonly external: boolean;
  /** Shape and element type: '[1, 128, 768] float32'. */
  readonly tensor: string;
  readonly op: string;
  readonly module: string;
  readonly source: string;
  /** Half-open steps of the planned order; NaN in a bare plan. */
  readonly start: number;
  readonly end: number;
  readonly offset: number;
}

/** Rows of every storage that has a place; of a bare plan only the places are known. */
export function rowsOf(plan: IPlan): IRow[] {
  const { graph } = plan;
  if (!graph) {
    return [...plan.offsets].map(([storage, offset]) => ({
      storage,
      offset,
      bytes: NaN,
      kind: '',
      external: false,
      tensor: '',
      op: '',
      module: '',
      source: '',
      start: NaN,
      end: NaN
    }));
  }
  return lifetimes(graph, plan.order).map(({ storage, start, end, bytes }) => {
    const { kind, external, shape, dtype } = graph.storages[storage];
    const op = graph.ops[plan.order[start]];
    return {
      storage,
      offset: plan.offsets.get(storage) ?? NaN,
      bytes,
      kind,
      external,
      tensor: [shape, dtype].filter(Boolean).join(' '),
      op: op.name,
      module: op.module,
      source: op.source,
      start,
      end
    };
  });
}

/** A row in one line, for a screen reader and the line under the map. */
export function rowText(row: IRow, size: (bytes: number) => string): string {
  return [
    `Storage ${row.storage}`,
    isNaN(row.bytes) ? '' : size(row.bytes),
    row.kind + (row.external ? ' (external)' : ''),
    row.tensor,
    row.op && `created by ${row.op}`,
    row.module,
    row.source,
    isNaN(row.start) ? '' : `lives in steps ${grouped(row.start + 1)} to ${grouped(row.end)}`,
    `at offset ${grouped(row.offset)}`
  ]
    .filter(Boolean)
    .join(', ');
}
