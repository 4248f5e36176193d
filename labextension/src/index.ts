import {
  ILayoutRestorer,
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import { LabIcon } from '@jupyterlab/ui-components';
import { addCommands, Commands } from './commands';
import { Sidebar } from './panels/sidebar';
import { StudioState } from './state';

const icon = new LabIcon({
  name: 'mlstudio:icon',
  svgstr:
    '<svg xmlns="http://www.w3.org/2000/svg" width="16" height="16" viewBox="0 0 16 16"><g class="jp-icon3" fill="#616161">' +
    '<circle cx="3" cy="4" r="2"/><circle cx="3" cy="12" r="2"/><circle cx="13" cy="8" r="2.4"/>' +
    '<path d="M4.6 4.2 11 7.2v1.4L4.6 5.6zM4.6 11.8 11 8.6v-1l-6.4 3z"/></g></svg>'
});

/** The ML Studio sidebar. */
const plugin: JupyterFrontEndPlugin<void> = {
  id: '@mlstudio/lab:plugin',
  description: 'Modules, live runs, clone and run, and the cluster light.',
  autoStart: true,
  optional: [ICommandPalette, ILayoutRestorer, ISettingRegistry, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    palette: ICommandPalette | null,
    restorer: ILayoutRestorer | null,
    settings: ISettingRegistry | null,
    translator: ITranslator | null
  ) => {
    translator = translator ?? nullTranslator;
    const trans = translator.load('mlstudio_lab');
    const state = new StudioState(app.serviceManager.events);
    const sidebar = new Sidebar(state, app.commands, translator, trans);
    sidebar.title.icon = icon;
    addCommands(app, trans, sidebar.id);
    Object.values(Commands)
      .filter(command => command === Commands.open)
      .forEach(command => palette?.addItem({ command, category: 'ML Studio' }));
    const show = () => {
      if (!sidebar.isAttached) {
        app.shell.add(sidebar, 'left', { rank: 250, type: 'ML Studio' });
        restorer?.add(sidebar, sidebar.id);
      }
    };
    if (settings) {
      settings
        .load(plugin.id)
        .then(loaded => {
          const apply = () => {
            if (loaded.composite.sidebar === false) {
              sidebar.parent = null;
            } else {
              show();
            }
          };
          loaded.changed.connect(apply);
          apply();
        })
        .catch(show);
    } else {
      show();
    }
  }
};

export default plugin;
