/** Memory over time: live bytes of one or more orders, and the bound below which no order gets. */

import { element, textTable } from './element';
import { ILineStyle, lineEntry, Theme } from './palette';
import { peakOf } from './memory';
import { Plot } from './plot';
import { bytesText, exactText, grouped } from './units';

export interface ICurve {
  readonly name: string;
  readonly style: ILineStyle;
  /** Live bytes at each step. */
  readonly bytes: Float64Array;
  /** Where each step boundary lies on the axis when idle steps are folded; one more than there are steps. */
  readonly folded: Float64Array;
}

export interface ILevel {
  readonly name: string;
  readonly style: ILineStyle;
  readonly bytes: number;
}

const TABLE_ROWS = 40;

export class CurvePlot extends Plot {
  constructor(curves: ReadonlyArray<ICurve>, levels: ReadonlyArray<ILevel>) {
    super('Memory over time (live bytes above resident, predicted)', 230, 'step');
    this._curves = curves;
    this._levels = levels;
    this.yTitle = 'live bytes';
    this._peaks = curves.map(({ bytes }) => peakOf(bytes));
    const peaks = this._peaks.map((peak, index) => ({ name: curves[index].name, ...peak }));
    this.y.high = Math.max(1, ...peaks.map(peak => peak.bytes), ...levels.map(level => level.bytes)) * 1.14;
    this._setRange();
    this.canvas.setAttribute('role', 'img');
    this.canvas.setAttribute(
      'aria-label',
      [
        ...peaks.map(({ name, bytes, step }) => `${name}: peak ${bytesText(bytes)} at step ${grouped(step + 1)}`),
        ...levels.map(({ name, bytes }) => `${name}: ${bytesText(bytes)}`)
      ].join('; ') + '. The same as a table below.'
    );
    this.setLegend([...curves, ...levels].map(({ name, style }) => lineEntry(name, style)));
    const twin = element('details', { class: 'roam-twin' }, element('summary', {}, 'This curve as a table'));
    twin.addEventListener('toggle', () => twin.open && twin.childElementCount === 1 && twin.append(this._table()));
    this.node.append(twin);
    this.canvas.addEventListener('click', event => {
      const step = this._stepAt(this.place(event).x);
      this.onStep(step);
    });
  }

  /** Called with the step of the last-named order that was clicked. */
  onStep: (step: number) => void = () => undefined;

  /** Give steps that neither allocate nor free no width. */
  fold(folded: boolean): void {
    this._isFolded = folded;
    this.xTitle = folded ? 'steps that allocate or free' : 'step';
    this._setRange();
    this.draw();
  }

  /** Shade the half-open steps of the order named last; null for none. */
  mark(span: { start: number; end: number } | null): void {
    this._span = span;
    this.draw();
  }

  protected paint(context: CanvasRenderingContext2D, theme: Theme): void {
    const last = this._curves[this._curves.length - 1];
    if (this._span && last) {
      const [from, to] = [this._position(last, this._span.start), this._position(last, this._span.end)];
      context.fillStyle = theme.dark ? 'rgba(240, 228, 66, 0.28)' : 'rgba(240, 228, 66, 0.5)';
      context.fillRect(this.x.at(from), this.y.to, Math.max(2, this.x.at(to) - this.x.at(from)), this.height);
    }
    for (const { style, bytes } of this._levels) {
      stroke(context, theme, style);
      context.moveTo(this.x.from, this.y.at(bytes));
      context.lineTo(this.x.to, this.y.at(bytes));
      context.stroke();
    }
    this._curves.forEach(curve => this._line(context, theme, curve));
    context.setLineDash([]);
    const taken: Array<readonly [number, number]> = [];
    this._curves.forEach((curve, index) => this._peak(context, theme, curve, this._peaks[index], taken));
  }

  /** A triangle on the peak and its size beside it, where there is room: below labels already `taken`. */
  private _peak(
    context: CanvasRenderingContext2D,
    theme: Theme,
    curve: ICurve,
    { bytes, step }: { bytes: number; step: number },
    taken: Array<readonly [number, number]>
  ): void {
    if (!bytes) {
      return;
    }
    const [x, y] = [this.x.at(this._position(curve, step)), this.y.at(bytes)];
    context.fillStyle = theme.line(curve.style);
    context.beginPath();
    context.moveTo(x, y - 1);
    context.lineTo(x - 5, y - 9);
    context.lineTo(x + 5, y - 9);
    context.fill();
    const left = x > (this.x.from + this.x.to) / 2;
    let line = y - 6;
    while (taken.some(([other, down]) => Math.abs(other - x) < 220 && Math.abs(down - line) < 13)) {
      line += 13;
    }
    taken.push([x, line]);
    context.fillStyle = theme.text;
    context.textAlign = left ? 'right' : 'left';
    const text = `${curve.name} peak ${bytesText(bytes)}`;
    const across = left ? x - 9 : x + 9;
    context.strokeStyle = theme.back;
    context.lineWidth = 3;
    context.strokeText(text, across, line);
    context.fillText(text, across, line);
  }

  /** A staircase; where several steps share a pixel, their least and most, so that no spike is lost. */
  private _line(context: CanvasRenderingContext2D, theme: Theme, curve: ICurve): void {
    stroke(context, theme, curve.style);
    let pixel = NaN;
    let [low, high] = [0, 0];
    for (let step = 0; step < curve.bytes.length; step++) {
      const bytes = curve.bytes[step];
      const x = Math.round(this.x.at(this._position(curve, step)) * 2) / 2;
      if (x !== pixel) {
        context.lineTo(x, this.y.at(curve.bytes[Math.max(0, step - 1)]));
        [pixel, low, high] = [x, bytes, bytes];
      }
      if (bytes < low || bytes > high || low === high) {
        context.lineTo(x, this.y.at(bytes));
        [low, high] = [Math.min(low, bytes), Math.max(high, bytes)];
      }
    }
    const steps = curve.bytes.length;
    if (steps) {
      context.lineTo(this.x.at(this._position(curve, steps)), this.y.at(curve.bytes[steps - 1]));
    }
    context.stroke();
  }

  private _position(curve: ICurve, step: number): number {
    return this._isFolded ? curve.folded[step] : step;
  }

  private _setRange(): void {
    this.x.high = Math.max(1, ...this._curves.map(curve => this._position(curve, curve.bytes.length)));
  }

  private _stepAt(pixel: number): number {
    const last = this._curves[this._curves.length - 1];
    const value = this.x.value(pixel);
    let [low, high] = [0, last.bytes.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      this._position(last, middle) <= value ? (low = middle) : (high = middle - 1);
    }
    return low;
  }

  /** The peaks and evenly spread steps between them. */
  private _table(): HTMLElement {
    const steps = Math.max(0, ...this._curves.map(curve => curve.bytes.length));
    const chosen = new Set(this._curves.map(curve => peakOf(curve.bytes).step));
    for (let row = 0; row < TABLE_ROWS; row++) {
      chosen.add(Math.floor((row * Math.max(0, steps - 1)) / (TABLE_ROWS - 1)));
    }
    const sorted = [...chosen].filter(step => step < steps).sort((one, other) => one - other);
    return textTable(`Live bytes at ${sorted.length} of ${grouped(steps)} steps, the peaks among them`, [
      ['step', ...this._curves.map(curve => curve.name)],
      ...sorted.map(step => [
        grouped(step + 1),
        ...this._curves.map(({ bytes }) => (step < bytes.length ? exactText(bytes[step]) : ''))
      ])
    ]);
  }

  private readonly _curves: ReadonlyArray<ICurve>;
  private readonly _levels: ReadonlyArray<ILevel>;
  private readonly _peaks: ReadonlyArray<{ bytes: number; step: number }>;
  private _span: { start: number; end: number } | null = null;
  private _isFolded = false;
}

function stroke(context: CanvasRenderingContext2D, theme: Theme, style: ILineStyle): void {
  context.strokeStyle = theme.line(style);
  context.lineWidth = style.width;
  context.setLineDash([...style.dash]);
  context.beginPath();
}
