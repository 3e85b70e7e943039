/** Renderer of `application/vnd.roam.plan+json` in notebook outputs. */

import { IRenderMime } from '@jupyterlab/rendermime-interfaces';
import { Widget } from '@lumino/widgets';

import { MIME_TYPE } from './names';
import { planOfData } from './planfile';
import { PlanView } from './planview';

class PlanRenderer extends Widget implements IRenderMime.IRenderer {
  constructor(mimeType: string) {
    super();
    this._mimeType = mimeType;
    this.addClass('roam-output');
  }

  async renderModel(model: IRenderMime.IMimeModel): Promise<void> {
    this._view?.dispose();
    this._view = new PlanView(() => planOfData(model.data[this._mimeType]));
    this.node.replaceChildren(this._view.node);
  }

  dispose(): void {
    this._view?.dispose();
    super.dispose();
  }

  private readonly _mimeType: string;
  private _view: PlanView | null = null;
}

/** Before HTML, which has 50: an output that brings both, for front ends without this viewer, is shown by the viewer. */
const RANK = 40;

const extension: IRenderMime.IExtension = {
  id: 'roam-lab:output',
  description: 'Shows roam-lab plans in notebook outputs.',
  rendererFactory: {
    safe: true,
    mimeTypes: [MIME_TYPE],
    defaultRank: RANK,
    createRenderer: options => new PlanRenderer(options.mimeType)
  },
  rank: RANK,
  dataType: 'json'
};

export default extension;
