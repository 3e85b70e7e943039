/** The palette's commands: a new lab notebook, a comparison, and the code that runs a plan. */

import { JupyterFrontEnd } from '@jupyterlab/application';
import { Dialog, ICommandPalette, MainAreaWidget, showDialog, showErrorMessage } from '@jupyterlab/apputils';
import { Widget } from '@lumino/widgets';

import { Comparison, INamedPlan } from './compare';
import { element } from './element';
import { COMMANDS, FACTORY, SUFFIX } from './names';
import { hookCode, labNotebook } from './notebook';
import { PlanPanel } from './panel';
import { findPlans, PlanShelf } from './workspace';

const CATEGORY = 'ROAM';

export function addCommands(app: JupyterFrontEnd, palette: ICommandPalette, panel: PlanPanel, shelf: PlanShelf): void {
  const { commands, serviceManager, shell } = app;
  const { contents } = serviceManager;

  commands.addCommand(COMMANDS.open, {
    label: 'ROAM: Open plan',
    execute: args => commands.execute('docmanager:open', { path: String(args.path), factory: FACTORY })
  });

  commands.addCommand(COMMANDS.notebook, {
    label: 'ROAM: New lab notebook',
    caption: 'A notebook that profiles a model and opens the lab',
    execute: async args => {
      const path = typeof args.path === 'string' ? args.path : '';
      const { specs } = serviceManager.kernelspecs;
      const python = [specs?.default ?? '', ...Object.keys(specs?.kernelspecs ?? {})]
        .map(name => specs?.kernelspecs[name])
        .find(spec => spec?.language === 'python');
      const made = await contents.newUntitled({ path, type: 'notebook' });
      await contents.save(made.path, { type: 'notebook', format: 'json', content: labNotebook(python) });
      return commands.execute('docmanager:open', { path: made.path, factory: 'Notebook' });
    }
  });

  commands.addCommand(COMMANDS.compare, {
    label: 'ROAM: Compare plans',
    caption: 'Two plans beside each other: those ticked in the side panel, or chosen here',
    execute: async args => {
      const named = Array.isArray(args.paths) ? args.paths.map(String) : panel.ticked;
      const paths = named.length === 2 ? named : await choosePair((await findPlans(contents)).plans.map(({ path }) => path));
      if (!paths) {
        return;
      }
      const read = async (path: string): Promise<INamedPlan> => ({ path, plan: await shelf.plan(path) });
      const widget = new MainAreaWidget({
        content: new Comparison(async () => [await read(paths[0]), await read(paths[1])])
      });
      widget.title.label = 'Compare plans';
      widget.title.caption = paths.join(' against ');
      widget.title.closable = true;
      shell.add(widget, 'main');
      shell.activateById(widget.id);
    }
  });

  commands.addCommand(COMMANDS.hook, {
    label: 'ROAM: Insert hook code',
    caption: 'A new cell that runs a plan in place of the training step',
    execute: async () => {
      const notebook = currentNotebook(shell.currentWidget);
      if (notebook === null) {
        return showErrorMessage('No notebook', 'Open a notebook and choose the cell to insert after, then try again.');
      }
      const { plans } = await findPlans(contents);
      const plan = panel.ticked[panel.ticked.length - 1] ?? (plans.length === 1 ? plans[0].path : undefined);
      await commands.execute('notebook:insert-cell-below');
      await commands.execute('notebook:replace-selection', { text: hookCode(plan ?? `plan${SUFFIX}`, notebook) });
    }
  });

  [COMMANDS.notebook, COMMANDS.compare, COMMANDS.hook].forEach(command => palette.addItem({ command, category: CATEGORY }));
}

/** Path of the notebook in `widget`; null when there is none. Known by its context, not by a class we would have to import. */
function currentNotebook(widget: Widget | null): string | null {
  const path = (widget as { context?: { path?: unknown } } | null)?.context?.path;
  return typeof path === 'string' && path.endsWith('.ipynb') ? path : null;
}

/** Let the user choose two of `paths`; null when there are not two, or on Cancel. */
async function choosePair(paths: ReadonlyArray<string>): Promise<readonly [string, string] | null> {
  if (paths.length < 2) {
    await showErrorMessage('Two plans are needed', `The workspace has ${paths.length} ${SUFFIX} files; write two to compare them.`);
    return null;
  }
  const selects = [0, 1].map(chosen => {
    const select = element('select', {}, ...paths.map(path => element('option', { value: path }, path)));
    select.selectedIndex = chosen;
    return select;
  });
  const body = new Widget();
  body.node.append(element('label', {}, 'A ', selects[0]), element('label', {}, 'B ', selects[1]));
  const { button } = await showDialog({
    title: 'Compare plans',
    body,
    buttons: [Dialog.cancelButton(), Dialog.okButton({ label: 'Compare' })]
  });
  return button.accept ? [selects[0].value, selects[1].value] : null;
}
