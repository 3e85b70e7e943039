/** The side panel: the workspace's plans with their savings, to open one or compare two. */

import { Contents } from '@jupyterlab/services';
import { CommandRegistry } from '@lumino/commands';
import { Message } from '@lumino/messaging';
import { Widget } from '@lumino/widgets';

import { element } from './element';
import { COMMANDS, SUFFIX } from './names';
import { findPlans, IFound, IHeadline, PlanShelf } from './workspace';

export class PlanPanel extends Widget {
  constructor(contents: Contents.IManager, shelf: PlanShelf, commands: CommandRegistry) {
    super();
    this._contents = contents;
    this._shelf = shelf;
    this._commands = commands;
    this.addClass('roam-panel');
    this._refresh = this._button('Refresh', () => void this._search());
    this._compare = this._button('Compare two', () => void commands.execute(COMMANDS.compare));
    this._status = element('p', { class: 'roam-note', role: 'status' });
    this._list = element('ul', { class: 'roam-plans', 'aria-label': 'Plans in the workspace' });
    this.node.append(
      element('h2', {}, 'ROAM plans'),
      element('div', { class: 'roam-panel-tools' }, this._refresh, this._compare),
      this._status,
      this._list
    );
    contents.fileChanged.connect((_, change) => {
      if ([change.oldValue?.path, change.newValue?.path].some(path => path?.endsWith(SUFFIX))) {
        this._stale();
      }
    });
    this._tick();
  }

  /** Paths of the ticked plans, in the order in which they were ticked; at most two. */
  get ticked(): ReadonlyArray<string> {
    return this._ticked;
  }

  protected onAfterShow(message: Message): void {
    super.onAfterShow(message);
    this._stale();
  }

  private _button(text: string, action: () => void): HTMLButtonElement {
    const button = element('button', { type: 'button', class: 'jp-Button jp-mod-styled jp-mod-minimal' }, text);
    button.addEventListener('click', action);
    return button;
  }

  /** Search soon, once, and only while somebody is looking. */
  private _stale(): void {
    window.clearTimeout(this._waiting);
    this._waiting = window.setTimeout(() => this.isVisible && void this._search(), 200);
  }

  private async _search(): Promise<void> {
    const turn = ++this._turn;
    this._status.textContent = 'Searching …';
    const { plans, cut } = await findPlans(this._contents);
    if (turn !== this._turn) {
      return;
    }
    this._ticked = this._ticked.filter(path => plans.some(found => found.path === path));
    const items = plans.map(found => this._item(found));
    this._list.replaceChildren(...items.map(item => item.node));
    this._tick();
    const more = cut ? ' The search stopped at its limit: there may be more.' : '';
    this._status.textContent = plans.length
      ? `${plans.length} plan${plans.length === 1 ? '' : 's'}.${more}`
      : `No ${SUFFIX} file here; plan.save("name${SUFFIX}") or roam plan -o writes one.${more}`;
    for (const { found, show } of items) {
      if (turn === this._turn) {
        show(await this._shelf.headline(found)); // one at a time: a list must not flood the server
      }
    }
  }

  private _item(found: IFound): { node: HTMLElement; found: IFound; show: (headline: IHeadline) => void } {
    const tick = element('input', { type: 'checkbox', 'aria-label': `Compare ${found.path}` });
    tick.checked = this._ticked.includes(found.path);
    tick.addEventListener('change', () => {
      const others = this._ticked.filter(path => path !== found.path);
      this._ticked = tick.checked ? [...others.slice(-1), found.path] : others;
      this._tick();
    });
    const name = found.path.slice(found.path.lastIndexOf('/') + 1, -SUFFIX.length);
    const open = element('button', { type: 'button', class: 'roam-plan-open', title: `Open ${found.path}` }, name);
    open.addEventListener('click', () => void this._commands.execute(COMMANDS.open, { path: found.path }));
    const saving = element('span', { class: 'roam-plan-saving' }, '…');
    const folder = found.path.slice(0, Math.max(0, found.path.lastIndexOf('/')));
    const node = element(
      'li',
      { 'data-path': found.path },
      tick,
      element('div', {}, open, saving, folder ? element('span', { class: 'roam-plan-folder' }, folder) : '')
    );
    const show = (headline: IHeadline) => {
      saving.textContent = headline.problem || headline.saving;
      saving.classList.toggle('roam-mod-problem', Boolean(headline.problem));
      tick.disabled = Boolean(headline.problem);
    };
    return { node, found, show };
  }

  /** Show which are ticked, and let compare only when there are two. */
  private _tick(): void {
    for (const item of this._list.querySelectorAll<HTMLElement>('li')) {
      const tick = item.querySelector('input');
      if (tick) {
        tick.checked = this._ticked.includes(item.dataset.path ?? '');
      }
    }
    this._compare.disabled = this._ticked.length !== 2;
    this._compare.title = this._compare.disabled ? 'Tick two plans first' : 'Figures side by side, curves in one plot';
  }

  private readonly _contents: Contents.IManager;
  private readonly _shelf: PlanShelf;
  private readonly _commands: CommandRegistry;
  private readonly _refresh: HTMLButtonElement;
  private readonly _compare: HTMLButtonElement;
  private readonly _status: HTMLElement;
  private readonly _list: HTMLElement;
  private _ticked: ReadonlyArray<string> = [];
  private _turn = 0;
  private _waiting = 0;
}
