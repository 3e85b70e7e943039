/** The arena map: every storage a rectangle, its lifetime across and its addresses upwards. */

import { element } from './element';
import { IKindStyle, kindEntry, kindStyle, patternFill, Theme } from './palette';
import { Plot } from './plot';
import { IRow } from './rows';
import { Selection } from './selection';
import { bytesText } from './units';

/** Left free between neighbours, so that they do not run together. */
const SEAM_PIXELS = 0.7;
const ZOOM = 1.4;

export class ArenaPlot extends Plot {
  constructor(rows: ReadonlyArray<IRow>, arenaBytes: number, places: Float64Array, selection: Selection) {
    super('Arena map (lifetime across, offset upwards)', 300, 'step');
    this._rows = rows;
    this._byStorage = new Map(rows.map(row => [row.storage, row]));
    this._folded = places;
    this._steps = Math.max(1, places.length - 1);
    this._arenaBytes = Math.max(1, arenaBytes);
    this._selection = selection;
    this.yTitle = 'offset';
    this.canvas.setAttribute('role', 'application');
    this.canvas.setAttribute('aria-roledescription', 'arena map');
    this.canvas.setAttribute(
      'aria-label',
      `Arena map: ${rows.length} storages in ${bytesText(arenaBytes)}. Arrow keys choose the next storage in ` +
        'time (left, right) or by size (up, down); plus, minus and 0 zoom; Escape chooses none. The same as a table below.'
    );
    const kinds = [...new Set(rows.map(row => row.kind))].sort().slice(0, 8);
    this.setLegend(kinds.map(kind => kindEntry(kind || 'kind not recorded', kindStyle(kind))), this._buttons());
    this._byTime = [...rows].sort((one, other) => one.start - other.start || one.storage - other.storage);
    this._bySize = [...rows].sort((one, other) => other.bytes - one.bytes || one.storage - other.storage);
    this._listen();
    selection.onChange(() => this.draw());
    this.reset();
  }

  /** Give steps that neither allocate nor free no width. */
  fold(folded: boolean): void {
    this._isFolded = folded;
    this.xTitle = folded ? 'steps that allocate or free' : 'step';
    this.reset();
  }

  /** Show the whole arena. */
  reset(): void {
    [this.x.low, this.x.high] = [0, this._width()];
    [this.y.low, this.y.high] = [0, this._arenaBytes];
    this.draw();
  }

  protected paint(context: CanvasRenderingContext2D, theme: Theme): void {
    const fills = new Map<IKindStyle, CanvasPattern | string>();
    for (const row of this._rows) {
      const box = this._box(row);
      if (box.right < this.x.from || box.left > this.x.to || box.bottom < this.y.to || box.top > this.y.from) {
        continue;
      }
      const style = kindStyle(row.kind);
      const [width, height] = [box.right - box.left, box.bottom - box.top];
      const fill = fills.get(style) ?? patternFill(context, style);
      fills.set(style, fill);
      context.fillStyle = fill;
      context.fillRect(box.left, box.top, Math.max(width, 1), Math.max(height > 2 ? height - SEAM_PIXELS : height, 1));
    }
    const chosen = this._byStorage.get(this._selection.storage ?? -1);
    if (chosen) {
      const box = this._box(chosen);
      for (const [colour, thickness] of [
        [theme.back, 5],
        [theme.text, 2.5]
      ] as const) {
        context.strokeStyle = colour;
        context.lineWidth = thickness;
        context.strokeRect(box.left - 1, box.top - 1, box.right - box.left + 2, box.bottom - box.top + 2);
      }
    }
  }

  private _width(): number {
    return this._isFolded ? Math.max(1, this._folded[this._steps]) : this._steps;
  }

  private _box(row: IRow): { left: number; right: number; top: number; bottom: number } {
    const place = (step: number) => (this._isFolded ? this._folded[step] : step);
    return {
      left: this.x.at(place(row.start)),
      right: this.x.at(place(row.end)),
      top: this.y.at(row.offset + row.bytes),
      bottom: this.y.at(row.offset)
    };
  }

  /** The storage under a pixel, or within two pixels of it: thin ones could not be hit otherwise. */
  private _hit(x: number, y: number): IRow | null {
    let [found, best] = [null as IRow | null, 3];
    for (const row of this._rows) {
      const box = this._box(row);
      const away = Math.max(box.left - x, x - box.right, box.top - y, y - box.bottom, 0);
      if (away < best) {
        [found, best] = [row, away];
      }
    }
    return found;
  }

  private _listen(): void {
    let grabbed: { x: number; y: number } | null = null;
    let moved = false;
    this.canvas.addEventListener('pointerdown', event => {
      grabbed = this.place(event);
      moved = false;
    });
    this.canvas.addEventListener('pointermove', event => {
      const here = this.place(event);
      if (grabbed && event.buttons & 1) {
        if (moved || Math.hypot(here.x - grabbed.x, here.y - grabbed.y) > 4) {
          this._shift(grabbed, here);
          grabbed = here;
          moved = true;
        }
        return;
      }
      const row = this._hit(here.x, here.y);
      this.canvas.title = row ? `${row.op || `storage ${row.storage}`}: ${bytesText(row.bytes)}` : '';
    });
    this.canvas.addEventListener('click', event => {
      const { x, y } = this.place(event);
      if (!moved) {
        this._selection.choose(this._hit(x, y)?.storage ?? null);
      }
    });
    this.canvas.addEventListener(
      'wheel',
      event => {
        if (event.ctrlKey || event.metaKey) {
          event.preventDefault();
          this._zoom(event.deltaY < 0 ? ZOOM : 1 / ZOOM, this.place(event));
        }
      },
      { passive: false }
    );
    this.canvas.addEventListener('keydown', event => this._key(event));
  }

  private _key(event: KeyboardEvent): void {
    const actions: { readonly [key: string]: () => void } = {
      ArrowLeft: () => this._step(this._byTime, -1),
      ArrowRight: () => this._step(this._byTime, 1),
      ArrowUp: () => this._step(this._bySize, -1),
      ArrowDown: () => this._step(this._bySize, 1),
      Escape: () => this._selection.choose(null),
      '+': () => this._zoom(ZOOM),
      '-': () => this._zoom(1 / ZOOM),
      '0': () => this.reset()
    };
    if (event.key in actions && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      event.stopPropagation();
      actions[event.key]();
    }
  }

  private _step(rows: ReadonlyArray<IRow>, by: number): void {
    const now = rows.findIndex(row => row.storage === this._selection.storage);
    const next = now < 0 ? 0 : Math.min(rows.length - 1, Math.max(0, now + by));
    this._selection.choose(rows[next]?.storage ?? null);
  }

  private _zoom(factor: number, about?: { x: number; y: number }): void {
    const centre = about ?? { x: (this.x.from + this.x.to) / 2, y: (this.y.from + this.y.to) / 2 };
    for (const [scale, pixel, most] of [
      [this.x, centre.x, this._width()],
      [this.y, centre.y, this._arenaBytes]
    ] as const) {
      const value = scale.value(pixel);
      const span = Math.min(most, Math.max((scale.high - scale.low) / factor, most * 1e-6));
      const low = value - ((value - scale.low) * span) / (scale.high - scale.low);
      scale.low = Math.min(Math.max(0, low), most - span);
      scale.high = scale.low + span;
    }
    this.draw();
  }

  private _shift(from: { x: number; y: number }, to: { x: number; y: number }): void {
    for (const [scale, was, is, most] of [
      [this.x, from.x, to.x, this._width()],
      [this.y, from.y, to.y, this._arenaBytes]
    ] as const) {
      const span = scale.high - scale.low;
      scale.low = Math.min(Math.max(0, scale.low + scale.value(was) - scale.value(is)), most - span);
      scale.high = scale.low + span;
    }
    this.draw();
  }

  private _buttons(): HTMLElement {
    const button = (label: string, title: string, action: () => void) => {
      const made = element('button', { type: 'button', title, 'aria-label': title }, label);
      made.addEventListener('click', action);
      return made;
    };
    return element(
      'span',
      { class: 'roam-zoom', role: 'group', 'aria-label': 'Zoom of the arena map' },
      button('+', 'Zoom in (also Ctrl and wheel)', () => this._zoom(ZOOM)),
      button('−', 'Zoom out', () => this._zoom(1 / ZOOM)),
      button('All', 'Show the whole arena', () => this.reset())
    );
  }

  private readonly _rows: ReadonlyArray<IRow>;
  private readonly _byStorage: ReadonlyMap<number, IRow>;
  private readonly _byTime: ReadonlyArray<IRow>;
  private readonly _bySize: ReadonlyArray<IRow>;
  private readonly _folded: Float64Array;
  private readonly _steps: number;
  private readonly _arenaBytes: number;
  private readonly _selection: Selection;
  private _isFolded = false;
}
