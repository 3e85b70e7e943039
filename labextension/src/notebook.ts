/** The notebook text that the commands write. */

import { JSONObject } from '@lumino/coreutils';

const CELLS: ReadonlyArray<readonly ['code' | 'markdown', string]> = [
  [
    'markdown',
    '# Memory of one training step\n\n' +
      'Put your own model, batch and optimizer in the second cell, then run all. `%roam help` lists what else can be asked.'
  ],
  ['code', '%load_ext roam_lab'],
  [
    'code',
    'import torch\n\n' +
      'model = torch.nn.Sequential(torch.nn.Linear(256, 1024), torch.nn.GELU(), torch.nn.Linear(1024, 10))\n' +
      'batch = (torch.randn(32, 256), torch.randint(0, 10, (32,)))\n' +
      'optimizer = torch.optim.AdamW(model.parameters())\n' +
      'loss = torch.nn.CrossEntropyLoss()'
  ],
  ['code', 'profile = %roam profile model batch --optimizer optimizer --loss loss'],
  ['code', '%roam lab']
];

interface IKernelSpec {
  readonly name: string;
  readonly display_name: string;
  readonly language: string;
}

/** A lab notebook for that kernel; without one JupyterLab asks. */
export function labNotebook(kernel?: IKernelSpec): JSONObject {
  return {
    cells: CELLS.map(([type, source], index) => ({
      id: `roam-${index}`,
      cell_type: type,
      metadata: {},
      source,
      ...(type === 'code' ? { execution_count: null, outputs: [] } : {})
    })),
    metadata: kernel
      ? { kernelspec: { name: kernel.name, display_name: kernel.display_name, language: kernel.language } }
      : {},
    nbformat: 4,
    nbformat_minor: 5
  };
}

/** Python that loads the plan at `plan`, named from the folder of `notebook`, and runs it as the training step. */
export function hookCode(plan: string, notebook: string): string {
  const path = JSON.stringify(relativePath(plan, notebook));
  return [
    'import roam_lab as roam',
    '',
    `plan = roam.load(${path})`,
    'step = roam.hook(plan, model, optimizer)  # give loss=... or step=... as you did when profiling',
    'loss = step(batch)  # parameters and optimizer state are updated in place'
  ].join('\n');
}

function relativePath(target: string, from: string): string {
  const [goal, base] = [target.split('/'), from.split('/').slice(0, -1)];
  let shared = 0;
  while (shared < base.length && shared < goal.length - 1 && base[shared] === goal[shared]) {
    shared += 1;
  }
  return [...base.slice(shared).map(() => '..'), ...goal.slice(shared)].join('/');
}
