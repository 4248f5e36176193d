import { ReactWidget, UseSignal } from '@jupyterlab/ui-components';
import { TranslationBundle } from '@jupyterlab/translation';
import { CommandRegistry } from '@lumino/commands';
import { Message } from '@lumino/messaging';
import * as React from 'react';
import type { StudioState } from '../state';
import { ClusterLight } from './cluster';
import { Modules } from './modules';
import { Runs } from './runs';

/** The sidebar: the cluster's light, modules, and live runs; it fetches only while it is on screen. */
export class Sidebar extends ReactWidget {
  constructor(
    private readonly state: StudioState,
    private readonly commands: CommandRegistry,
    private readonly trans: TranslationBundle
  ) {
    super();
    this.id = 'mlstudio-sidebar';
    this.addClass('mls-sidebar');
    this.title.caption = trans.__('ML Studio');
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', trans.__('ML Studio'));
  }

  protected onAfterShow(_: Message): void {
    this.state.visible = true;
  }

  protected onAfterHide(_: Message): void {
    this.state.visible = false;
  }

  protected render(): JSX.Element {
    const { state, commands, trans } = this;
    return (
      <UseSignal signal={state.changed}>
        {() => (
          <>
            <ClusterLight state={state} trans={trans} />
            {state.error && (
              <div className="mls-error" role="alert">
                {state.error.message}
              </div>
            )}
            <details open className="mls-section">
              <summary>
                {trans.__('Modules')}{' '}
                <span className="mls-quiet">{state.modules.length || ''}</span>
              </summary>
              <Modules modules={state.modules} trans={trans} />
            </details>
            <details open className="mls-section">
              <summary>{trans.__('Runs')}</summary>
              <Runs runs={state.runs} commands={commands} trans={trans} />
            </details>
          </>
        )}
      </UseSignal>
    );
  }
}
