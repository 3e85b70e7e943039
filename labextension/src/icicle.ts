/**
 * What is alive at one step of the planned order, as boxes as wide as their bytes: module pattern, operator, storage. The
 * boxes are buttons, so that keys and screen readers reach them; a storage's chooses it everywhere.
 */

import { element, freshId, textTable } from './element';
import { kindStyle } from './palette';
import { IRow } from './rows';
import { Selection } from './selection';
import { bytesText, exactText, grouped } from './units';

/** Boxes that are narrower are drawn together, as a part of the whole width. */
const THINNEST = 0.006;
/** Boxes that are narrower hold no words: a letter or two tell nothing. Their label and title do. */
const NAMED = 0.04;
/** Of a level, more boxes than these would be no picture. */
const MOST_BOXES = 150;

interface IGroup {
  readonly name: string;
  readonly rows: ReadonlyArray<IRow>;
  readonly bytes: number;
}

/**
 * Layers that run the same are one: 'h.3.attn' and 'h.11.attn' are 'h.*.attn'. A path of numbers alone, of a bare
 * Sequential, stays as it is: '*' would name nothing.
 */
export function patternOf(module: string): string {
  return /^[\d.]+$/.test(module) ? module : module.replace(/(^|\.)\d+(?=\.|$)/g, '$1*') || 'no module';
}

/** `rows` by what `nameOf` says, the largest group first, names in the order of the alphabet among equals. */
export function groupsOf(rows: ReadonlyArray<IRow>, nameOf: (row: IRow) => string): IGroup[] {
  const found = new Map<string, IRow[]>();
  for (const row of rows) {
    const name = nameOf(row);
    const known = found.get(name);
    known ? known.push(row) : found.set(name, [row]);
  }
  return [...found]
    .map(([name, own]) => ({ name, rows: own, bytes: own.reduce((sum, row) => sum + row.bytes, 0) }))
    .sort((one, other) => other.bytes - one.bytes || (one.name < other.name ? -1 : 1));
}

export class Icicle {
  constructor(
    private readonly _rows: ReadonlyArray<IRow>,
    private readonly _steps: number,
    private readonly _selection: Selection,
    step: number
  ) {
    const label = freshId('alive');
    this._head.id = label;
    this._slider.max = String(Math.max(1, _steps));
    this._slider.addEventListener('input', () => this.show(Number(this._slider.value) - 1));
    this._twin.addEventListener('toggle', () => this._table());
    this.node = element(
      'figure',
      { class: 'roam-icicle', 'aria-labelledby': label },
      element('figcaption', {}, this._head),
      this._slider,
      this._boxes,
      this._twin
    );
    _selection.onChange(() => this._draw());
    this.show(step);
  }

  /** Show what is alive at `step`, from 0. */
  show(step: number): void {
    this._step = Math.min(Math.max(step, 0), Math.max(this._steps - 1, 0));
    this._slider.value = String(this._step + 1);
    this._draw();
    this._table();
  }

  private _alive(): IRow[] {
    return this._rows.filter(row => row.start <= this._step && this._step < row.end && row.bytes > 0);
  }

  private _draw(): void {
    const alive = this._alive();
    const total = alive.reduce((sum, row) => sum + row.bytes, 0);
    const count = `${grouped(alive.length)} storage${alive.length === 1 ? '' : 's'}`;
    this._head.textContent =
      `Alive at step ${grouped(this._step + 1)} of ${grouped(this._steps)}: ${bytesText(total)} in ${count}, ` +
      'by module, operator and storage';
    const levels = [0, 1, 2].map(() => element('div', { class: 'roam-icicle-level' }));
    for (const module of this._fitting(groupsOf(alive, row => patternOf(row.module)), total)) {
      levels[0].append(this._box(module, total, `${module.name}: ${bytesText(module.bytes)}`));
      for (const op of this._fitting(groupsOf(module.rows, row => operatorOf(row.op)), total, module.bytes)) {
        const times = op.rows.length > 1 ? ` ×${grouped(op.rows.length)}` : '';
        levels[1].append(this._box(op, total, `${op.name}${times}: ${bytesText(op.bytes)}`));
        for (const one of this._fitting(groupsOf(op.rows, row => `${row.op}|${row.storage}`), total, op.bytes)) {
          const name = one.rows.length === 1 ? one.rows[0].op : one.name;
          levels[2].append(this._box(one, total, `${name}: ${bytesText(one.bytes)}`, one.rows.length === 1));
        }
      }
    }
    this._boxes.replaceChildren(...levels);
  }

  /** Those that are wide enough, the others as one. */
  private _fitting(groups: ReadonlyArray<IGroup>, total: number, all?: number): ReadonlyArray<IGroup> {
    const wide = groups.filter(group => group.bytes >= THINNEST * total).slice(0, MOST_BOXES);
    const small = groups.slice(wide.length);
    if (!small.length || (small.length === 1 && !wide.length)) {
      return groups;
    }
    const bytes = (all ?? total) - wide.reduce((sum, group) => sum + group.bytes, 0);
    return [...wide, { name: `${grouped(small.length)} smaller`, rows: small.flatMap(group => group.rows), bytes }];
  }

  private _box(group: IGroup, total: number, text: string, storage = false): HTMLElement {
    const kinds = groupsOf(group.rows, row => row.kind);
    const chosen = storage && group.rows[0].storage === this._selection.storage;
    const label = `${text}, ${kinds[0].name}`;
    const box = element(
      'button',
      {
        type: 'button',
        class: `roam-icicle-box${chosen ? ' roam-mod-chosen' : ''}`,
        title: label,
        'aria-label': label
      },
      group.bytes >= NAMED * total ? text : ''
    );
    box.style.width = `${(100 * group.bytes) / Math.max(total, 1)}%`;
    box.style.setProperty('--roam-kind', kindStyle(kinds[0].name).colour);
    const largest = group.rows.reduce((best, row) => (row.bytes > best.bytes ? row : best));
    box.addEventListener('click', () => this._selection.choose(largest.storage));
    return box;
  }

  /** The same as a table, once it is opened. */
  private _table(): void {
    if (this._twin.open) {
      const rows = groupsOf(this._alive(), row => `${patternOf(row.module)}|${operatorOf(row.op)}|${row.kind}`);
      this._twin.lastElementChild?.replaceWith(
        textTable('Alive at this step', [
          ['module', 'operator', 'kind', 'storages', 'bytes'],
          ...rows
            .slice(0, MOST_BOXES)
            .map(({ name, rows: own, bytes }) => [...name.split('|').slice(0, 3), grouped(own.length), exactText(bytes)])
        ])
      );
    }
  }

  readonly node: HTMLElement;
  private _step = 0;
  private readonly _head = element('span', { role: 'status' });
  private readonly _slider = element('input', { type: 'range', min: 1, class: 'roam-icicle-step', 'aria-label': 'step' });
  private readonly _boxes = element('div', { class: 'roam-icicle-boxes' });
  private readonly _twin = element(
    'details',
    { class: 'roam-twin' },
    element('summary', {}, 'What is alive as a table'),
    element('div')
  );
}

/** An op's operator, as far as its name tells: 'addmm_12' is one of the 'addmm'. */
function operatorOf(op: string): string {
  return op.replace(/_\d+$/, '') || 'unknown';
}
