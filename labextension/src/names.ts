/** Names that several parts must agree on. */

export const MIME_TYPE = 'application/vnd.roam.plan+json';
export const FILE_TYPE = 'roam-plan';
export const SUFFIX = '.roam.json';
export const FRONTIER_TYPE = 'roam-frontier';
/** What `roam frontier -o` may call its file; any other .json can be opened with the viewer, too. */
export const FRONTIER_SUFFIX = '.frontier.json';
export const FACTORY = 'ROAM plan';
export const MODEL = 'roam-plan-model';

export const COMMANDS = {
  open: 'roam:open-plan',
  compare: 'roam:compare-plans',
  notebook: 'roam:new-notebook',
  hook: 'roam:insert-hook-code'
} as const;
