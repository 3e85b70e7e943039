/** Two plans beside each other: their figures, what the second gains on the first, and their curves in one plot. */

import { Widget } from '@lumino/widgets';

import { CurvePlot, ICurve } from './curve';
import { element, textTable } from './element';
import { capturedOrder } from './memory';
import { LINES } from './palette';
import { headlineText, IPlan, plannedStepBytes, proofText } from './plan';
import { boundOf, curveOf, problem } from './planview';
import { bytesText, changeText, exactText, grouped } from './units';

export interface INamedPlan {
  readonly path: string;
  readonly plan: IPlan;
}

export class Comparison extends Widget {
  constructor(load: () => Promise<readonly [INamedPlan, INamedPlan]>) {
    super();
    this.addClass('roam-document');
    this.node.append(element('p', { class: 'roam-note' }, 'Reading both plans …'));
    load().then(
      ([first, second]) => this._show(first, second),
      reason => this.node.replaceChildren(problem(reason))
    );
  }

  dispose(): void {
    this._curve?.dispose();
    super.dispose();
  }

  private _show(first: INamedPlan, second: INamedPlan): void {
    const view = element('div', { class: 'roam-view' }, element('h2', {}, 'Two plans compared'));
    const same = first.plan.graphSha256 === second.plan.graphSha256;
    view.append(
      element(
        'p',
        { class: 'roam-note', role: 'note' },
        same
          ? 'Both plan the same graph.'
          : 'These are plans of different graphs, so a difference may come from the step itself, not from the planning.'
      ),
      textTable('Figures; the difference is that of B against A', [
        ['', `A: ${first.path}`, `B: ${second.path}`, 'difference'],
        ...figures(first.plan, second.plan)
      ])
    );
    const curves = curvesOf(first.plan, second.plan, same);
    if (curves.length) {
      const both = [boundOf(first.plan, same ? undefined : 'A bound'), boundOf(second.plan, 'B bound', LINES.otherBound)];
      const higher = { ...both[0], bytes: Math.max(...both.map(level => level.bytes)) }; // both hold for the same graph
      this._curve = new CurvePlot(curves, same ? [higher] : both);
      view.append(this._curve.node);
    }
    if (!first.plan.graph || !second.plan.graph) {
      view.append(element('p', { class: 'roam-note', role: 'note' }, 'A bare plan has no graph, so its curve is missing.'));
    }
    this.node.replaceChildren(view);
  }

  private _curve: CurvePlot | null = null;
}

function curvesOf(first: IPlan, second: IPlan, same: boolean): ICurve[] {
  const curves: ICurve[] = [];
  if (first.graph) {
    curves.push(curveOf(same ? 'captured' : 'A captured', LINES.captured, first.graph, capturedOrder(first.graph)));
    curves.push(curveOf('A planned', LINES.planned, first.graph, first.order));
  }
  if (second.graph) {
    curves.push(curveOf('B planned', LINES.other, second.graph, second.order));
  }
  return curves;
}

function figures(first: IPlan, second: IPlan): string[][] {
  const size = (name: string, read: (plan: IPlan) => number | undefined) => {
    const [a, b] = [read(first), read(second)];
    const text = (bytes: number | undefined) => (bytes === undefined ? 'unknown' : `${bytesText(bytes)} (${exactText(bytes)})`);
    return [name, text(a), text(b), a === undefined || b === undefined ? '' : differenceText(a, b)];
  };
  const word = (name: string, read: (plan: IPlan) => string) => [name, read(first), read(second), ''];
  return [
    size('whole step, planned', plan => (plan.graph ? plannedStepBytes(plan) : undefined)),
    size('captured peak', plan => plan.capturedPeakBytes),
    size('planned peak', plan => plan.peakBytes),
    size('lower bound', plan => plan.lowerBoundBytes),
    size('arena', plan => plan.arenaBytes),
    size('resident', plan => plan.graph?.residentBytes),
    word('gap', proofText),
    word('against eager', headlineText),
    word('order strategy', plan => plan.orderStrategy),
    word('layout strategy', plan => plan.layoutStrategy),
    word('planning', plan => (isNaN(plan.seconds) ? 'not recorded' : `${plan.seconds.toFixed(2)} s`)),
    word('ops', plan => grouped(plan.order.length))
  ];
}

function differenceText(before: number, after: number): string {
  if (before === after) {
    return 'same';
  }
  const change = changeText(before, after);
  return `${after > before ? '+' : '−'}${bytesText(Math.abs(after - before))}${change ? ` (${change})` : ''}`;
}
