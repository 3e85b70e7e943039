/** What both plots share: a canvas as wide as its place, two axes, and a redraw when size or theme change. */

import { element } from './element';
import { ILegendEntry, Theme } from './palette';
import { unitFor } from './units';

/** A range of values drawn over a range of pixels. */
export class Scale {
  constructor(
    public low: number,
    public high: number
  ) {}

  from = 0;
  to = 1;

  at(value: number): number {
    return this.from + ((value - this.low) / (this.high - this.low || 1)) * (this.to - this.from);
  }

  value(pixel: number): number {
    return this.low + ((pixel - this.from) / (this.to - this.from || 1)) * (this.high - this.low);
  }

  /** Round values in the range, at most about `count` of them, in steps of 1, 2 or 5 times a power of ten units. */
  ticks(count: number, unit = 1): number[] {
    const rough = Math.max((this.high - this.low) / unit / count, 1e-9);
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = ([1, 2, 5, 10].find(factor => factor * power >= rough) ?? 10) * power * unit;
    const ticks: number[] = [];
    for (let tick = Math.ceil(this.low / step) * step; tick <= this.high && ticks.length < 50; tick += step) {
      ticks.push(tick);
    }
    return ticks;
  }
}

const LEFT = 64;
const RIGHT = 12;
const TOP = 10;
const BOTTOM = 36;

export abstract class Plot {
  constructor(title: string, height: number, xTitle: string) {
    this.height = height;
    this.xTitle = xTitle;
    this.canvas = element('canvas', { class: 'roam-plot-canvas', tabindex: 0 });
    this.canvas.style.height = `${height}px`;
    this._legend = element('div', { class: 'roam-legend' });
    this.node = element(
      'figure',
      { class: 'roam-plot', 'aria-label': title },
      element('figcaption', {}, title),
      this._legend,
      this.canvas
    );
    this._resize = new ResizeObserver(() => this.draw());
    this._resize.observe(this.canvas);
    this._theme = new MutationObserver(() => this.draw());
    this._theme.observe(document.body, { attributeFilter: ['data-jp-theme-name', 'data-jp-theme-light'] });
  }

  /** Draw in the next frame, however often it is asked for. */
  draw(): void {
    if (!this._asked) {
      this._asked = requestAnimationFrame(() => {
        this._asked = 0;
        this._drawNow();
      });
    }
  }

  dispose(): void {
    cancelAnimationFrame(this._asked);
    this._resize.disconnect();
    this._theme.disconnect();
  }

  /** Show `entries`, then `tools`, above the canvas. */
  protected setLegend(entries: ReadonlyArray<ILegendEntry>, ...tools: ReadonlyArray<Node>): void {
    this._entries = entries;
    this._legend.replaceChildren(...entries.map(entry => entry.node), ...tools);
  }

  /** Where a mouse event lies on the canvas, in CSS pixels. */
  protected place(event: MouseEvent): { x: number; y: number } {
    const box = this.canvas.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  }

  protected abstract paint(context: CanvasRenderingContext2D, theme: Theme): void;

  private _drawNow(): void {
    const width = this.canvas.clientWidth;
    const context = this.canvas.getContext('2d');
    if (!context || width <= LEFT + RIGHT) {
      return;
    }
    const began = performance.now();
    const dense = window.devicePixelRatio || 1;
    this.canvas.width = Math.round(width * dense);
    this.canvas.height = Math.round(this.height * dense);
    context.setTransform(dense, 0, 0, dense, 0, 0);
    const theme = new Theme(this.node);
    [this.x.from, this.x.to] = [LEFT, width - RIGHT];
    [this.y.from, this.y.to] = [this.height - BOTTOM, TOP];
    this._axes(context, theme, width);
    context.save();
    context.beginPath();
    context.rect(LEFT, TOP - 2, width - LEFT - RIGHT, this.height - TOP - BOTTOM + 4);
    context.clip();
    this.paint(context, theme);
    context.restore();
    this._entries.forEach(entry => entry.paint(theme));
    this.canvas.dataset.drawMilliseconds = (performance.now() - began).toFixed(1);
  }

  private _axes(context: CanvasRenderingContext2D, theme: Theme, width: number): void {
    const [unitName, unit] = unitFor(this.y.high);
    context.font = theme.font;
    context.lineWidth = 1;
    context.textBaseline = 'middle';
    context.textAlign = 'right';
    for (const tick of this.y.ticks(5, unit)) {
      const y = Math.round(this.y.at(tick)) + 0.5;
      context.strokeStyle = theme.grid;
      context.beginPath();
      context.moveTo(LEFT, y);
      context.lineTo(width - RIGHT, y);
      context.stroke();
      context.fillStyle = theme.faint;
      context.fillText(short(tick / unit), LEFT - 6, y);
    }
    context.textAlign = 'center';
    for (const tick of this.x.ticks(Math.max(2, Math.floor(width / 110)))) {
      context.fillText(short(tick), this.x.at(tick), this.height - BOTTOM + 12);
    }
    context.fillText(this.xTitle, (LEFT + width - RIGHT) / 2, this.height - 8);
    context.save();
    context.translate(10, (TOP + this.height - BOTTOM) / 2);
    context.rotate(-Math.PI / 2);
    context.fillText(`${this.yTitle}, ${unitName}`, 0, 0);
    context.restore();
    context.strokeStyle = theme.faint;
    context.strokeRect(LEFT + 0.5, TOP + 0.5, width - LEFT - RIGHT - 1, this.height - TOP - BOTTOM - 1);
  }

  readonly node: HTMLElement;
  readonly canvas: HTMLCanvasElement;
  protected readonly height: number;
  protected xTitle: string;
  protected yTitle = '';
  protected readonly x = new Scale(0, 1);
  protected readonly y = new Scale(0, 1);
  private readonly _legend: HTMLElement;
  private _entries: ReadonlyArray<ILegendEntry> = [];
  private readonly _resize: ResizeObserver;
  private readonly _theme: MutationObserver;
  private _asked = 0;
}

/** A tick's number without the noise of binary fractions. */
function short(value: number): string {
  return Number(value.toPrecision(6)).toLocaleString('en-US', { maximumFractionDigits: 6 });
}
