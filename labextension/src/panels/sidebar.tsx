import { ITranslator, TranslationBundle } from '@jupyterlab/translation';
import { ReactWidget, SidePanel, UseSignal } from '@jupyterlab/ui-components';
import { CommandRegistry } from '@lumino/commands';
import { Message } from '@lumino/messaging';
import { AccordionPanel } from '@lumino/widgets';
import * as React from 'react';
import type { StudioState } from '../state';
import { Modules } from './modules';
import { Runs } from './runs';
import { Status } from './status';

/** A part of the sidebar that is drawn again when the state changes. */
class Section extends ReactWidget {
  constructor(
    private readonly state: StudioState,
    private readonly draw: () => JSX.Element,
    name: string,
    title = ''
  ) {
    super();
    this.addClass('mls-section');
    this.addClass(`mls-section-${name}`);
    this.title.label = title;
    this.title.caption = title;
  }

  protected render(): JSX.Element {
    return <UseSignal signal={this.state.changed}>{this.draw}</UseSignal>;
  }
}

/** The sidebar: the cluster's light, live runs, and modules; it fetches only while it is on screen. */
export class Sidebar extends SidePanel {
  constructor(
    private readonly state: StudioState,
    commands: CommandRegistry,
    translator: ITranslator,
    trans: TranslationBundle
  ) {
    super({ translator });
    this.id = 'mlstudio-sidebar';
    this.addClass('mls-sidebar');
    this.title.caption = trans.__('ML Studio');
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', trans.__('ML Studio'));
    this.header.addWidget(
      new Section(state, () => <Status state={state} trans={trans} />, 'status')
    );
    this.addWidget(
      new Section(
        state,
        () => <Modules state={state} trans={trans} />,
        'modules',
        trans.__('Modules')
      )
    );
    this.addWidget(
      new Section(
        state,
        () => <Runs state={state} commands={commands} trans={trans} />,
        'runs',
        trans.__('Runs')
      )
    );
    (this.content as AccordionPanel).setRelativeSizes([1, 2]);
  }

  dispose(): void {
    this.state.visible = false;
    super.dispose();
  }

  protected onAfterShow(message: Message): void {
    super.onAfterShow(message);
    this.state.visible = true;
  }

  protected onAfterHide(message: Message): void {
    super.onAfterHide(message);
    this.state.visible = false;
  }
}
