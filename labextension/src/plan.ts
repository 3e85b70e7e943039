/** What a plan file says, once it has been checked; the nouns of roam-plan/2. Sizes are bytes, steps are half-open. */

import { bytesText, changeText, grouped } from './units';

export interface IStorage {
  readonly bytes: number;
  readonly output: boolean;
  readonly external: boolean;
  /** Always there, or on the host: no op of the step creates it. */
  readonly resident: boolean;
  readonly kind: string;
  readonly shape: string;
  readonly dtype: string;
}

export interface IOp {
  readonly name: string;
  readonly target: string;
  readonly phase: string;
  readonly module: string;
  readonly source: string;
  readonly after: ReadonlyArray<number>;
  readonly creates: ReadonlyArray<number>;
  readonly touches: ReadonlyArray<number>;
}

export interface IGraph {
  readonly name: string;
  readonly residentBytes: number;
  readonly storages: ReadonlyArray<IStorage>;
  readonly ops: ReadonlyArray<IOp>;
}

/** What rewriting did, by its kind: how often, and what the peak lost by it where the file says so. */
export interface IRewrites {
  readonly kind: string;
  readonly count: number;
  readonly savedBytes: number | null;
}

export interface IPlan {
  readonly graphSha256: string;
  readonly order: ReadonlyArray<number>;
  readonly offsets: ReadonlyMap<number, number>;
  readonly arenaBytes: number;
  readonly peakBytes: number;
  readonly lowerBoundBytes: number;
  readonly capturedPeakBytes: number;
  /** Of the step as eager PyTorch runs it; 0 where the plan does not say. */
  readonly eagerPeakBytes: number;
  readonly optimal: boolean;
  readonly status: string;
  readonly orderStrategy: string;
  readonly layoutStrategy: string;
  readonly seconds: number;
  readonly seed: number;
  readonly rewrites: ReadonlyArray<IRewrites>;
  /** What all of them add to the step's time, as a part of it. */
  readonly extraTime: number;
  readonly environment: ReadonlyArray<readonly [string, string]>;
  /** Null in a bare plan. */
  readonly graph: IGraph | null;
}

/** The whole step (resident + peak) without the plan, as `Plan.eager_bytes` has it: no less than the captured order needs. */
export function eagerStepBytes(plan: IPlan): number {
  return (plan.graph?.residentBytes ?? 0) + Math.max(plan.capturedPeakBytes, plan.eagerPeakBytes);
}

/** The whole step (resident + arena) with the plan. */
export function plannedStepBytes(plan: IPlan): number {
  return (plan.graph?.residentBytes ?? 0) + plan.arenaBytes;
}

/** The headline of a plan, in the words of `Plan.headline`: '346.7 -> 284.7 MiB, -17.9 %'. */
export function headlineText(plan: IPlan): string {
  const [before, after] = [eagerStepBytes(plan), plannedStepBytes(plan)];
  const [figure, unit] = bytesText(before).split(' ');
  const shown = bytesText(after).endsWith(` ${unit}`) ? figure : bytesText(before);
  const change = changeText(before, after).replace('−', '-');
  return `${shown} -> ${bytesText(after)}${change ? `, ${change}` : ''}`;
}

/** How far the peak may lie above the best possible: peak / bound - 1; 0 when optimal, infinite without a bound. */
export function gapOf(plan: IPlan): number {
  if (plan.peakBytes <= plan.lowerBoundBytes) {
    return 0;
  }
  return plan.lowerBoundBytes ? plan.peakBytes / plan.lowerBoundBytes - 1 : Infinity;
}

/** 'optimal', or how near it is proven to be. */
export function proofText(plan: IPlan): string {
  if (plan.optimal) {
    return 'proven optimal';
  }
  const gap = gapOf(plan);
  return isFinite(gap) ? `at most ${grouped(100 * gap, 2)} % above the optimum` : 'nothing proven';
}
