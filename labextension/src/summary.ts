/** The figures of a plan at a glance, and how it was made. */

import { element, textTable } from './element';
import { eagerStepBytes, headlineText, IPlan, plannedStepBytes, proofText } from './plan';
import { bytesText, changeText, exactText, grouped } from './units';

/** Tiles of the plan's sizes, the verdict in a sentence, and a list of its provenance. */
export function summary(plan: IPlan): HTMLElement {
  const { graph } = plan;
  const tiles = [
    tile('captured', plan.capturedPeakBytes, 'peak of the planned graph in eager’s order, predicted'),
    tile('planned', plan.peakBytes, 'peak of the planned order'),
    tile('bound', plan.lowerBoundBytes, plan.optimal ? 'met: proven optimal' : proofText(plan)),
    tile('arena', plan.arenaBytes, `${changeText(plan.peakBytes, plan.arenaBytes) || 'nothing'} over the peak`)
  ];
  if (graph) {
    const [before, after] = [eagerStepBytes(plan), plannedStepBytes(plan)];
    tiles.unshift(
      tile('whole step, eager', before, 'resident + eager’s peak, predicted'),
      tile('whole step, planned', after, `resident + arena; ${changeText(before, after) || 'nothing'} against eager`)
    );
    tiles.push(tile('resident', graph.residentBytes, 'parameters, state, batch'));
  }
  return element(
    'header',
    { class: 'roam-summary' },
    element('h2', {}, graph ? graph.name || 'Plan' : 'Bare plan'),
    element('p', { class: 'roam-verdict' }, verdict(plan)),
    element('dl', { class: 'roam-tiles' }, ...tiles),
    ...(plan.rewrites.length ? [rewrites(plan)] : []),
    element('details', { class: 'roam-twin' }, element('summary', {}, 'How it was planned'), provenance(plan))
  );
}

function tile(name: string, bytes: number, note: string): HTMLElement {
  return element(
    'div',
    { class: 'roam-tile', 'data-figure': name },
    element('dt', {}, name),
    element('dd', { class: 'roam-tile-size' }, bytesText(bytes)),
    element('dd', { class: 'roam-tile-exact' }, exactText(bytes)),
    element('dd', { class: 'roam-tile-note' }, note)
  );
}

/** What was rewritten, kind by kind, and what that costs. */
function rewrites(plan: IPlan): HTMLElement {
  const saved = (bytes: number | null) => (bytes === null ? '' : `${bytes < 0 ? '−' : ''}${bytesText(Math.abs(bytes))}`);
  return textTable(`Rewritten: ${timeText(plan)}${plan.extraTime > 0 ? ', predicted' : ''}`, [
    ['what', 'how often', 'peak less by'],
    ...plan.rewrites.map(({ kind, count, savedBytes }) => [kind, grouped(count), saved(savedBytes)])
  ]);
}

function timeText(plan: IPlan): string {
  return plan.extraTime > 0 ? `${grouped(100 * plan.extraTime, 1)} % more time` : 'no more time';
}

function verdict(plan: IPlan): string {
  const above = Math.max(plan.capturedPeakBytes, plan.eagerPeakBytes);
  const gains = above > 0 && above - plan.arenaBytes >= 0.01 * above;
  const least = plan.rewrites.length ? 'no order of it needs less' : 'no legal order needs less';
  const proof = plan.optimal ? least : proofText(plan);
  const how = plan.rewrites.length ? `rewritten (${timeText(plan)}), ` : gains ? '' : 'order gains nothing: ';
  const what = plan.graph ? 'Whole step, eager and planned' : 'Above what is always there, eager and planned';
  return `${what}: ${headlineText(plan)}, predicted; ${how}${proof}.`;
}

function provenance(plan: IPlan): HTMLElement {
  const { graph } = plan;
  const facts: Array<readonly [string, string]> = [
    ['status', plan.status],
    ['gap', proofText(plan)],
    ['order strategy', plan.orderStrategy],
    ['layout strategy', plan.layoutStrategy],
    ['planning', isNaN(plan.seconds) ? 'not recorded' : `${plan.seconds.toFixed(2)} s, seed ${plan.seed}`],
    ['ops', grouped(plan.order.length)],
    ['storages', graph ? grouped(graph.storages.filter(storage => !storage.resident).length) : 'unknown'],
    ['rewrites', plan.rewrites.length ? grouped(plan.rewrites.reduce((sum, { count }) => sum + count, 0)) : 'none'],
    ['graph', plan.graphSha256],
    ...plan.environment
  ];
  return element(
    'dl',
    { class: 'roam-facts' },
    ...facts.flatMap(([name, text]) => [element('dt', {}, name), element('dd', {}, text)])
  );
}
