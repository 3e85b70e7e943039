/** roam-lab in JupyterLab: the viewer of plan files, the side panel of plans, and the palette's commands. */

import { ILayoutRestorer, JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette, WidgetTracker } from '@jupyterlab/apputils';
import { DocumentWidget } from '@jupyterlab/docregistry';

import { addCommands } from './commands';
import { PlanModelFactory, PlanWidgetFactory } from './document';
import { FACTORY, FILE_TYPE, FRONTIER_SUFFIX, FRONTIER_TYPE, MIME_TYPE, MODEL, SUFFIX } from './names';
import { PlanPanel } from './panel';
import { PlanShelf } from './workspace';

const viewer: JupyterFrontEndPlugin<void> = {
  id: 'roam-lab:viewer',
  description: 'Opens *.roam.json and *.frontier.json files.',
  autoStart: true,
  optional: [ILayoutRestorer],
  activate: (app: JupyterFrontEnd, restorer: ILayoutRestorer | null) => {
    const { docRegistry, serviceManager } = app;
    docRegistry.addFileType({
      name: FILE_TYPE,
      displayName: 'ROAM plan',
      extensions: [SUFFIX],
      mimeTypes: [MIME_TYPE],
      contentType: 'file',
      fileFormat: 'text'
    });
    docRegistry.addFileType({
      name: FRONTIER_TYPE,
      displayName: 'ROAM frontier',
      extensions: [FRONTIER_SUFFIX],
      contentType: 'file',
      fileFormat: 'text'
    });
    docRegistry.addModelFactory(new PlanModelFactory());
    const factory = new PlanWidgetFactory(
      {
        name: FACTORY,
        modelName: MODEL,
        fileTypes: [FILE_TYPE, FRONTIER_TYPE, 'json'],
        defaultFor: [FILE_TYPE, FRONTIER_TYPE],
        readOnly: true
      },
      serviceManager.contents
    );
    docRegistry.addWidgetFactory(factory);
    const tracker = new WidgetTracker<DocumentWidget>({ namespace: 'roam-plans' });
    factory.widgetCreated.connect((_, widget) => {
      widget.context.pathChanged.connect(() => void tracker.save(widget));
      void tracker.add(widget);
    });
    void restorer?.restore(tracker, {
      command: 'docmanager:open',
      args: widget => ({ path: widget.context.path, factory: FACTORY }),
      name: widget => widget.context.path
    });
  }
};

const panel: JupyterFrontEndPlugin<void> = {
  id: 'roam-lab:panel',
  description: 'Lists the plans of the workspace; adds the ROAM commands.',
  autoStart: true,
  optional: [ICommandPalette, ILayoutRestorer],
  activate: (app: JupyterFrontEnd, palette: ICommandPalette | null, restorer: ILayoutRestorer | null) => {
    if (palette === null) {
      return; // Voila: a page without side panels, menus and files
    }
    const { contents } = app.serviceManager;
    const shelf = new PlanShelf(contents);
    const widget = new PlanPanel(contents, shelf, app.commands);
    widget.id = 'roam-plans-panel';
    widget.title.label = 'ROAM';
    widget.title.caption = 'ROAM plans in the workspace';
    app.shell.add(widget, 'left', { rank: 600 });
    restorer?.add(widget, widget.id);
    addCommands(app, palette, widget, shelf);
  }
};

export default [viewer, panel];
