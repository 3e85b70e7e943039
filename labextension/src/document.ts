/** `*.roam.json` and `*.frontier.json` as documents: the file is weighed before it is read, so that a huge one never reaches the page. */

import { showErrorMessage } from '@jupyterlab/apputils';
import {
  ABCWidgetFactory,
  DocumentRegistry,
  DocumentWidget,
  TextModelFactory
} from '@jupyterlab/docregistry';
import { Contents } from '@jupyterlab/services';
import { Widget } from '@lumino/widgets';

import { element } from './element';
import { frontierOfData, isFrontier } from './frontier';
import { FrontierView } from './frontierview';
import { MODEL } from './names';
import { LARGEST_FILE_BYTES, parsed, PlanError, planOfData, tooLarge } from './planfile';
import { PlanView } from './planview';

/** The text of the plan file at `path`. Raises PlanError before reading when it is too large. */
export async function fetchText(
  contents: Contents.IManager,
  path: string,
  largest = LARGEST_FILE_BYTES
): Promise<string> {
  const { size } = await contents.get(path, { content: false });
  if ((size ?? 0) > largest) {
    throw new PlanError(tooLarge(size ?? 0));
  }
  const { content } = await contents.get(path, { content: true, type: 'file', format: 'text' });
  return String(content);
}

/** Asks for the file without its content (`fileFormat` null), so that the model stays empty: see `fetchText`. */
export class PlanModelFactory extends TextModelFactory {
  get name(): string {
    return MODEL;
  }

  get fileFormat(): Contents.FileFormat {
    return null;
  }
}

/** Nothing changes here: the empty model must never reach the file, nor opening leave a copy of it on disk. */
function makeReadOnly(context: DocumentRegistry.Context): void {
  context.save = async () => undefined;
  context.createCheckpoint = async () => ({ id: '', last_modified: '' });
  context.saveAs = async () => {
    await showErrorMessage('Plans are only shown here', 'Copy the file in the file browser instead.');
    return false;
  };
}

class PlanContent extends Widget {
  constructor(context: DocumentRegistry.Context, contents: Contents.IManager) {
    super();
    this._context = context;
    this._contents = contents;
    this.addClass('roam-document');
    this.node.append(element('p', { class: 'roam-note' }, 'Reading the plan …'));
    void context.ready.then(() => this._read());
    context.fileChanged.connect(() => void this._read());
  }

  dispose(): void {
    this._view?.dispose();
    super.dispose();
  }

  /** Read the file if it is another than the one shown. */
  private async _read(): Promise<void> {
    const modified = this._context.contentsModel?.last_modified;
    if (!this._context.isReady || this.isDisposed || modified === this._modified) {
      return;
    }
    this._modified = modified;
    let text: string | PlanError;
    try {
      text = await fetchText(this._contents, this._context.path);
    } catch (reason) {
      text = reason instanceof PlanError ? reason : new PlanError(`The file cannot be read: ${String(reason)}`);
    }
    if (this.isDisposed) {
      return;
    }
    this._view?.dispose();
    this._view = viewOf(text);
    this.node.replaceChildren(this._view.node);
  }

  private readonly _context: DocumentRegistry.Context;
  private readonly _contents: Contents.IManager;
  private _modified: string | undefined = '';
  private _view: PlanView | FrontierView | null = null;
}

/** What the file's text is: a frontier, a plan, or why it is neither. */
function viewOf(text: string | PlanError): PlanView | FrontierView {
  try {
    if (text instanceof PlanError) {
      throw text;
    }
    const data = parsed(text);
    return isFrontier(data) ? new FrontierView(frontierOfData(data)) : new PlanView(() => planOfData(data));
  } catch (reason) {
    return new PlanView(() => {
      throw reason;
    });
  }
}

export class PlanWidgetFactory extends ABCWidgetFactory<DocumentWidget> {
  constructor(options: DocumentRegistry.IWidgetFactoryOptions, contents: Contents.IManager) {
    super(options);
    this._contents = contents;
  }

  protected createNewWidget(context: DocumentRegistry.Context): DocumentWidget {
    makeReadOnly(context);
    return new DocumentWidget({ context, content: new PlanContent(context, this._contents) });
  }

  private readonly _contents: Contents.IManager;
}
