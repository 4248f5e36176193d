import { JupyterFrontEnd } from '@jupyterlab/application';
import { TranslationBundle } from '@jupyterlab/translation';
import { call, Run, ulid } from './api';

/** Names of the commands; `open` is also in the palette. */
export const Commands = {
  open: 'mlstudio:open',
  clone: 'mlstudio:clone-run',
  cancel: 'mlstudio:cancel-run'
} as const;

/** Registers what the panel and the palette can do. */
export function addCommands(
  app: JupyterFrontEnd,
  trans: TranslationBundle,
  panelId: string
): void {
  app.commands.addCommand(Commands.open, {
    label: trans.__('Show ML Studio'),
    caption: trans.__('Modules, runs and the cluster'),
    execute: () => app.shell.activateById(panelId)
  });
  app.commands.addCommand(Commands.clone, {
    label: trans.__('Clone and Run'),
    caption: trans.__('Run it again with changed parameters'),
    execute: async args =>
      (await call<Run>('POST', `runs/${String(args.id)}/clone`, {
        run: ulid(),
        set: args.set ?? {},
        input: args.input ?? {},
        wait_s: 0
      })) as never
  });
  app.commands.addCommand(Commands.cancel, {
    label: trans.__('Cancel Run'),
    execute: async args =>
      (await call<Run>('POST', `runs/${String(args.id)}/cancel`, {})) as never
  });
}
