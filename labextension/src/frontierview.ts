/** A frontier on one page: memory of the whole step against extra time, and its points as a table. */

import { element, textTable } from './element';
import { eagerBytes, frontierText, IFrontier, IFrontierPoint, wholeBytes } from './frontier';
import { lineEntry, LINES, Theme } from './palette';
import { Plot } from './plot';
import { bytesText, changeText, exactText, grouped } from './units';

const HEADROOM = 1.12;

class FrontierPlot extends Plot {
  constructor(frontier: IFrontier) {
    super('Memory of the whole step against extra time (resident + arena, predicted)', 300, 'extra time, %');
    this._frontier = frontier;
    this.yTitle = 'whole step';
    const { points, checkpointed } = frontier;
    const all = checkpointed ? [...points, checkpointed] : points;
    const eager = eagerBytes(frontier);
    this.y.high = Math.max(1, eager, ...all.map(point => wholeBytes(frontier, point))) * HEADROOM;
    this.x.high = Math.max(1, ...all.map(point => 100 * point.extraTime)) * HEADROOM;
    this.canvas.setAttribute('role', 'img');
    this.canvas.setAttribute('aria-label', `${frontierText(frontier)} The same as a table below.`);
    this.setLegend([
      lineEntry('planned: the least known for that time', LINES.planned),
      lineEntry(`${frontier.eagerName} ${bytesText(eager)}`, LINES.captured),
      ...(checkpointed ? [lineEntry('▲ every block checkpointed', LINES.other)] : [])
    ]);
  }

  protected paint(context: CanvasRenderingContext2D, theme: Theme): void {
    const { points, checkpointed } = this._frontier;
    const eager = this.y.at(eagerBytes(this._frontier));
    this._stroke(context, theme, LINES.captured);
    context.moveTo(this.x.from, eager);
    context.lineTo(this.x.to, eager);
    context.stroke();
    this._stroke(context, theme, LINES.planned);
    points.forEach((point, at) => {
      const [x, y] = this._place(point);
      at ? context.lineTo(x, this._place(points[at - 1])[1]) : context.moveTo(x, y);
      context.lineTo(x, y);
    });
    if (points.length) {
      context.lineTo(this.x.to, this._place(points[points.length - 1])[1]);
    }
    context.stroke();
    context.setLineDash([]);
    context.fillStyle = theme.line(LINES.planned);
    for (const point of points) {
      const [x, y] = this._place(point);
      context.beginPath();
      context.arc(x, y, 4, 0, 2 * Math.PI);
      context.fill();
    }
    if (checkpointed) {
      const [x, y] = this._place(checkpointed);
      context.fillStyle = theme.line(LINES.other);
      context.beginPath();
      context.moveTo(x, y - 6);
      context.lineTo(x - 6, y + 5);
      context.lineTo(x + 6, y + 5);
      context.fill();
    }
  }

  private _place(point: IFrontierPoint): readonly [number, number] {
    return [this.x.at(100 * point.extraTime), this.y.at(wholeBytes(this._frontier, point))];
  }

  private _stroke(context: CanvasRenderingContext2D, theme: Theme, style: (typeof LINES)[keyof typeof LINES]): void {
    context.strokeStyle = theme.line(style);
    context.lineWidth = style.width;
    context.setLineDash([...style.dash]);
    context.beginPath();
  }

  private readonly _frontier: IFrontier;
}

export class FrontierView {
  constructor(frontier: IFrontier) {
    this._plot = new FrontierPlot(frontier);
    this.node = element(
      'div',
      { class: 'roam-view' },
      element('h2', {}, frontier.name ? `Frontier of ${frontier.name}` : 'Frontier'),
      element('p', { class: 'roam-verdict' }, frontierText(frontier)),
      this._plot.node,
      pointsTable(frontier)
    );
  }

  dispose(): void {
    this._plot.dispose();
  }

  readonly node: HTMLElement;
  private readonly _plot: FrontierPlot;
}

function pointsTable(frontier: IFrontier): HTMLTableElement {
  const before = eagerBytes(frontier);
  const row = (name: string, point: IFrontierPoint) => [
    name,
    `${grouped(100 * point.extraTime, 1)} %`,
    bytesText(wholeBytes(frontier, point)),
    changeText(before, wholeBytes(frontier, point)),
    exactText(point.arenaBytes),
    grouped(point.recomputed),
    bytesText(point.offloadedBytes)
  ];
  return textTable(`Times: ${frontier.times || 'not told'}. Change against ${frontier.eagerName}.`, [
    ['point', 'more time', 'whole step', 'change', 'arena', 'ops again', 'to the host'],
    ...frontier.points.map((point, at) => row(`${at + 1}`, point)),
    ...(frontier.checkpointed ? [row('every block checkpointed', frontier.checkpointed)] : [])
  ]);
}
