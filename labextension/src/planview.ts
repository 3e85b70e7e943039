/** A whole plan on one page: figures, curve, arena map and table, with one selection between them. */

import { ArenaPlot } from './arena';
import { CurvePlot, ICurve, ILevel } from './curve';
import { element } from './element';
import { Icicle } from './icicle';
import { capturedOrder, foldedSteps, lifetimes, liveCurve, peakOf } from './memory';
import { ILineStyle, LINES } from './palette';
import { IGraph, IPlan } from './plan';
import { PlanError } from './planfile';
import { IRow, rowsOf, rowText } from './rows';
import { Selection } from './selection';
import { summary } from './summary';
import { StorageTable } from './table';
import { bytesText, exactText } from './units';

/** The curve of `order`, ready to be drawn. */
export function curveOf(name: string, style: ILineStyle, graph: IGraph, order: ReadonlyArray<number>): ICurve {
  const lives = lifetimes(graph, order);
  return { name, style, bytes: liveCurve(lives, order.length), folded: foldedSteps(lives, order.length) };
}

/** The level below which no order gets. */
export function boundOf(plan: IPlan, name = 'bound, any order', style: ILineStyle = LINES.bound): ILevel {
  return { name, style, bytes: plan.lowerBoundBytes };
}

export class PlanView {
  /** Show the plan that `read` gives, or why it gives none. */
  constructor(read: () => IPlan) {
    this.node = element('div', { class: 'roam-view' });
    try {
      this._show(read());
    } catch (reason) {
      this.dispose();
      this.node.replaceChildren(problem(reason));
    }
  }

  dispose(): void {
    this._plots.forEach(plot => plot.dispose());
    this._plots = [];
  }

  private _show(plan: IPlan): void {
    this.node.append(summary(plan));
    const rows = rowsOf(plan);
    const selection = new Selection();
    if (plan.graph) {
      this._figures(plan, plan.graph, rows, selection);
    } else {
      this.node.append(
        element(
          'p',
          { class: 'roam-note', role: 'note' },
          'This plan is bare: its file has no graph, so the memory curve, the arena map, and sizes and names of ' +
            'storages are missing. Write it without --bare to see them.'
        )
      );
    }
    this.node.append(new StorageTable(rows, selection).node);
  }

  private _figures(plan: IPlan, graph: IGraph, rows: ReadonlyArray<IRow>, selection: Selection): void {
    const planned = curveOf('planned', LINES.planned, graph, plan.order);
    const curve = new CurvePlot(
      // the captured order of a rewritten graph is no more eager's
      plan.rewrites.length ? [planned] : [curveOf('captured', LINES.captured, graph, capturedOrder(graph)), planned],
      [boundOf(plan)]
    );
    const arena = new ArenaPlot(rows, plan.arenaBytes, planned.folded, selection);
    const icicle = new Icicle(rows, plan.order.length, selection, peakOf(planned.bytes).step);
    this._plots = [curve, arena];
    const byStorage = new Map(rows.map(row => [row.storage, row]));
    const chosen = element('p', { class: 'roam-chosen', role: 'status' }, NOTHING_CHOSEN);
    selection.onChange(storage => {
      const row = byStorage.get(storage ?? -1);
      curve.mark(row ?? null);
      chosen.textContent = row ? rowText(row, size => `${bytesText(size)} (${exactText(size)})`) : NOTHING_CHOSEN;
    });
    curve.onStep = step => {
      icicle.show(step);
      selection.choose(largestAt(rows, step));
    };
    const fold = element('input', { type: 'checkbox' });
    fold.addEventListener('change', () => [curve, arena].forEach(plot => plot.fold(fold.checked)));
    this.node.append(
      element('label', { class: 'roam-fold' }, fold, 'Leave out steps that neither allocate nor free'),
      curve.node,
      icicle.node,
      arena.node,
      chosen
    );
  }

  readonly node: HTMLElement;
  private _plots: Array<CurvePlot | ArenaPlot> = [];
}

const NOTHING_CHOSEN = 'Click a rectangle, a row, or a step of the curve (its largest storage) to see it everywhere.';

/** Why a plan is not shown. An unforeseen error is told as well: a silent page would be worse. */
export function problem(reason: unknown): HTMLElement {
  const text = reason instanceof PlanError ? reason.message : `The viewer failed: ${String(reason)}`;
  return element(
    'div',
    { class: 'roam-problem', role: 'alert' },
    element('strong', {}, 'This plan cannot be shown. '),
    text
  );
}

/** The largest storage alive in `step` of the planned order, the lowest index among equals. */
function largestAt(rows: ReadonlyArray<IRow>, step: number): number | null {
  let best: IRow | null = null;
  for (const row of rows) {
    if (row.start <= step && step < row.end && (!best || row.bytes > best.bytes)) {
      best = row;
    }
  }
  return best?.storage ?? null;
}
