/** The table of storages: sorted, searched, and only the rows in sight are in the page. */

import { element, freshId } from './element';
import { IRow } from './rows';
import { Selection } from './selection';
import { bytesText, exactText, grouped } from './units';

const ROW_PIXELS = 24;
const SPARE_ROWS = 8;

interface IColumn {
  readonly key: keyof IRow;
  readonly title: string;
  readonly width: string;
  readonly numeric?: boolean;
  readonly text: (row: IRow) => string;
}

const number = (value: number) => (isNaN(value) ? '' : grouped(value));
const COLUMNS: ReadonlyArray<IColumn> = [
  { key: 'storage', title: 'storage', width: '64px', numeric: true, text: row => String(row.storage) },
  { key: 'bytes', title: 'bytes', width: '100px', numeric: true, text: row => number(row.bytes) },
  {
    key: 'kind',
    title: 'kind',
    width: '100px',
    text: row => row.kind + (row.external ? ' (external)' : '')
  },
  { key: 'tensor', title: 'shape, dtype', width: '140px', text: row => row.tensor },
  { key: 'op', title: 'op', width: '140px', text: row => row.op },
  { key: 'module', title: 'module', width: 'minmax(90px, 1fr)', text: row => row.module },
  { key: 'source', title: 'source', width: 'minmax(90px, 1fr)', text: row => row.source },
  {
    key: 'start',
    title: 'start',
    width: '62px',
    numeric: true,
    text: row => (isNaN(row.start) ? '' : grouped(row.start + 1))
  },
  { key: 'end', title: 'end', width: '62px', numeric: true, text: row => number(row.end) },
  { key: 'offset', title: 'offset', width: '100px', numeric: true, text: row => number(row.offset) }
];
const TEMPLATE = COLUMNS.map(column => column.width).join(' ');

export class StorageTable {
  constructor(rows: ReadonlyArray<IRow>, selection: Selection) {
    this._rows = rows;
    this._selection = selection;
    this._texts = new Array<string>(rows.length);
    this._search = element('input', {
      type: 'search',
      class: 'roam-search',
      placeholder: 'Search op, module, source, kind, shape …',
      'aria-label': 'Search storages'
    });
    this._count = element('span', { class: 'roam-count', role: 'status' });
    this._heads = COLUMNS.map(column => this._head(column));
    this._body = element('div', { class: 'roam-grid-body', role: 'rowgroup' });
    this._scroller = element(
      'div',
      {
        class: 'roam-grid',
        role: 'grid',
        tabindex: 0,
        'aria-label': 'Storages: up and down choose a row',
        'aria-colcount': COLUMNS.length
      },
      element(
        'div',
        { class: 'roam-grid-head', role: 'row', 'aria-rowindex': 1, style: `grid-template-columns: ${TEMPLATE}` },
        ...this._heads
      ),
      this._body
    );
    this.node = element(
      'section',
      { class: 'roam-storages', 'aria-label': 'Storages' },
      element('div', { class: 'roam-grid-tools' }, element('h3', {}, 'Storages'), this._search, this._count),
      this._scroller
    );
    this._listen();
    this._arrange();
  }

  private _listen(): void {
    let waiting = 0;
    this._search.addEventListener('input', () => {
      window.clearTimeout(waiting);
      waiting = window.setTimeout(() => this._arrange(), 80);
    });
    this._scroller.addEventListener('scroll', () => this._draw());
    this._scroller.addEventListener('keydown', event => this._key(event));
    this._body.addEventListener('click', event => {
      const row = (event.target as Element).closest<HTMLElement>('[data-storage]');
      if (row) {
        this._selection.choose(Number(row.dataset.storage));
      }
    });
    this._selection.onChange(() => {
      this._reveal();
      this._draw();
    });
    new ResizeObserver(() => this._draw()).observe(this._scroller);
  }

  private _head(column: IColumn): HTMLElement {
    const button = element('button', { type: 'button' }, column.title);
    button.addEventListener('click', () => {
      const same = this._sorted === column;
      this._falling = same ? !this._falling : column.key === 'bytes';
      this._sorted = column;
      this._arrange();
    });
    return element('div', { role: 'columnheader', class: column.numeric ? 'roam-number' : '' }, button);
  }

  /** Filter and sort anew; ties stand by storage index. */
  private _arrange(): void {
    const wanted = this._search.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
    const { key, numeric } = this._sorted;
    const way = this._falling ? -1 : 1;
    this._shown = this._rows
      .filter((row, index) => wanted.every(word => this._text(row, index).includes(word)))
      .sort((one, other) => {
        const [a, b] = [one[key], other[key]];
        const order = numeric ? (a as number) - (b as number) : a < b ? -1 : a > b ? 1 : 0;
        return way * (order || 0) || one.storage - other.storage;
      });
    this._heads.forEach((head, index) => {
      const here = COLUMNS[index] === this._sorted;
      head.setAttribute('aria-sort', here ? (this._falling ? 'descending' : 'ascending') : 'none');
    });
    const bytes = this._shown.reduce((sum, row) => sum + row.bytes, 0);
    this._count.textContent =
      `${grouped(this._shown.length)} of ${grouped(this._rows.length)} storages` +
      (isNaN(bytes) ? '' : `, ${bytesText(bytes)} in all`);
    this._count.title = isNaN(bytes) ? '' : exactText(bytes);
    this._scroller.setAttribute('aria-rowcount', String(this._shown.length + 1));
    this._body.style.height = `${this._shown.length * ROW_PIXELS}px`;
    this._reveal();
    this._draw();
  }

  /** Lower-case text of a row, made when first searched. */
  private _text(row: IRow, index: number): string {
    this._texts[index] ??= COLUMNS.map(column => column.text(row)).join('\n').toLowerCase();
    return this._texts[index];
  }

  private _draw(): void {
    const from = Math.max(0, Math.floor(this._scroller.scrollTop / ROW_PIXELS) - SPARE_ROWS);
    const to = from + Math.ceil((this._scroller.clientHeight || 320) / ROW_PIXELS) + 2 * SPARE_ROWS;
    const nodes = this._shown.slice(from, to).map((row, index) => this._rowNode(row, from + index));
    this._body.replaceChildren(...nodes);
    const active = nodes.find(node => node.getAttribute('aria-selected') === 'true');
    this._scroller.setAttribute('aria-activedescendant', active?.id ?? '');
  }

  private _rowNode(row: IRow, index: number): HTMLElement {
    const chosen = row.storage === this._selection.storage;
    return element(
      'div',
      {
        id: `${this._id}-${row.storage}`,
        role: 'row',
        class: 'roam-grid-row',
        'aria-rowindex': index + 2,
        'aria-selected': String(chosen),
        'data-storage': row.storage,
        style: `top: ${index * ROW_PIXELS}px; grid-template-columns: ${TEMPLATE}`
      },
      ...COLUMNS.map(column => {
        const text = column.text(row);
        const title = column.key === 'bytes' && text ? `${bytesText(row.bytes)}, ${exactText(row.bytes)}` : text;
        return element('div', { role: 'gridcell', class: column.numeric ? 'roam-number' : '', title }, text);
      })
    );
  }

  private _key(event: KeyboardEvent): void {
    const page = Math.max(1, Math.floor(this._scroller.clientHeight / ROW_PIXELS) - 2);
    const steps: { readonly [key: string]: number } = {
      ArrowUp: -1,
      ArrowDown: 1,
      PageUp: -page,
      PageDown: page,
      Home: -Infinity,
      End: Infinity
    };
    if (event.target === this._scroller && event.key in steps && this._shown.length) {
      event.preventDefault();
      event.stopPropagation();
      const next = Math.min(this._shown.length - 1, Math.max(0, this._place() + steps[event.key]));
      this._selection.choose(this._shown[next].storage);
    }
  }

  private _place(): number {
    return this._shown.findIndex(row => row.storage === this._selection.storage);
  }

  /** Scroll the chosen row into sight, if it passes the search. */
  private _reveal(): void {
    const place = this._place();
    const [top, height] = [this._scroller.scrollTop, this._scroller.clientHeight - ROW_PIXELS];
    if (place >= 0 && (place * ROW_PIXELS < top || (place + 1) * ROW_PIXELS > top + height)) {
      this._scroller.scrollTop = Math.max(0, place * ROW_PIXELS - height / 2);
    }
  }

  readonly node: HTMLElement;
  private readonly _rows: ReadonlyArray<IRow>;
  private readonly _texts: string[];
  private readonly _selection: Selection;
  private readonly _search: HTMLInputElement;
  private readonly _count: HTMLElement;
  private readonly _heads: ReadonlyArray<HTMLElement>;
  private readonly _body: HTMLElement;
  private readonly _scroller: HTMLElement;
  private readonly _id = freshId('row');
  private _sorted: IColumn = COLUMNS[1];
  private _falling = true;
  private _shown: IRow[] = [];
}
