/** The plans among the files that JupyterLab serves, found and read within limits. */

import { Contents } from '@jupyterlab/services';

import { fetchText } from './document';
import { SUFFIX } from './names';
import { headlineText, IPlan } from './plan';
import { PlanError, readPlan } from './planfile';

const MOST_FOLDERS = 500;
const MOST_PLANS = 100;
const DEEPEST = 6;
/** A list need not read larger files; opening one still does. */
const LARGEST_LISTED_BYTES = 16 * 2 ** 20;
const SKIPPED = /^(\..*|node_modules|__pycache__|site-packages)$/;

export interface IFound {
  readonly path: string;
  readonly modified: string;
}

export interface IFindings {
  readonly plans: ReadonlyArray<IFound>;
  /** Whether a limit ended the search. */
  readonly cut: boolean;
}

/** Plan files below the root, nearest folders first, by path within a folder. */
export async function findPlans(contents: Contents.IManager): Promise<IFindings> {
  const plans: IFound[] = [];
  const folders: Array<readonly [string, number]> = [['', 0]];
  let cut = false;
  for (let read = 0; read < folders.length; read++) {
    if (read === MOST_FOLDERS || plans.length >= MOST_PLANS) {
      cut = true;
      break;
    }
    const [folder, depth] = folders[read];
    let entries: ReadonlyArray<Contents.IModel>;
    try {
      entries = (await contents.get(folder, { content: true, type: 'directory' })).content ?? [];
    } catch {
      continue; // a folder that vanished or may not be read holds nothing to list
    }
    for (const entry of [...entries].sort((one, other) => (one.name < other.name ? -1 : 1))) {
      if (entry.type === 'directory' && !SKIPPED.test(entry.name)) {
        depth < DEEPEST ? folders.push([entry.path, depth + 1]) : (cut = true);
      } else if (entry.type !== 'directory' && entry.name.endsWith(SUFFIX)) {
        plans.push({ path: entry.path, modified: entry.last_modified });
      }
    }
  }
  return { plans: plans.slice(0, MOST_PLANS), cut: cut || plans.length > MOST_PLANS };
}

/** Reads plans by path and keeps what is still of the same date. */
export class PlanShelf {
  constructor(private readonly _contents: Contents.IManager) {}

  /** The plan in `found`, or why there is none. */
  async headline(found: IFound): Promise<IHeadline> {
    const known = this._known.get(found.path);
    if (known && known.modified === found.modified) {
      return known.headline;
    }
    let headline: IHeadline;
    try {
      const plan = readPlan(await fetchText(this._contents, found.path, LARGEST_LISTED_BYTES));
      headline = { saving: `${headlineText(plan)}${plan.optimal ? ', optimal' : ''}`, problem: '' };
    } catch (reason) {
      const problem = reason instanceof PlanError ? reason.message : String(reason);
      headline = { saving: '', problem };
    }
    this._known.set(found.path, { modified: found.modified, headline });
    return headline;
  }

  /** The whole plan at `path`. Raises PlanError. */
  async plan(path: string): Promise<IPlan> {
    return readPlan(await fetchText(this._contents, path));
  }

  private readonly _known = new Map<string, { modified: string; headline: IHeadline }>();
}

export interface IHeadline {
  /** '346.7 -> 284.7 MiB, -17.9 %, optimal': the whole step, eager and planned. */
  readonly saving: string;
  /** Why the file is no plan to show; '' when it is one. */
  readonly problem: string;
}
