import { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';
import type { StudioState } from '../state';

/** One light for where runs go now: green when the cluster is hot, amber while it warms or recovers, red without a studio. */
export function ClusterLight(props: {
  state: StudioState;
  trans: TranslationBundle;
}): JSX.Element {
  const { state, trans } = props;
  const { cluster } = state;
  const light = cluster?.light ?? 'red';
  const words =
    cluster?.text ??
    (state.loaded || state.error ? trans.__('The studio is not running') : '');
  return (
    <div className="mls-cluster" role="status" aria-live="polite">
      <span className={`mls-light mls-light-${light}`} aria-hidden="true" />
      <span className="mls-cluster-words">{words}</span>
    </div>
  );
}
