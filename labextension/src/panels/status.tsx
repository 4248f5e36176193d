import { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';
import type { StudioState } from '../state';

const NOT_RUNNING = 'the studio is not running';

/**
 * One light for where runs go now: green when the cluster is hot, amber while it warms or recovers, red without a studio;
 * and what is wrong, in words, with the way out.
 */
export function Status(props: {
  state: StudioState;
  trans: TranslationBundle;
}): JSX.Element {
  const { state, trans } = props;
  const { cluster, error, starting } = state;
  const isDown = error?.code === 'unavailable';
  const light = starting
    ? 'amber'
    : !state.asked
      ? 'off'
      : (cluster?.light ?? 'red');
  const words = starting
    ? trans.__('The studio is starting…')
    : isDown
      ? trans.__('The studio is not running')
      : (cluster?.text ?? (state.asked ? '' : trans.__('Looking…')));
  return (
    <div className="mls-status">
      <div className="mls-cluster" role="status" aria-live="polite">
        <span className={`mls-light mls-light-${light}`} aria-hidden="true" />
        <span className="mls-cluster-words" title={words}>
          {words}
        </span>
        {isDown && !starting && (
          <button
            className="mls-button mls-button-main"
            onClick={() => void state.start()}
          >
            {trans.__('Start')}
          </button>
        )}
      </div>
      {error && !starting && (
        <div className={isDown ? 'mls-note' : 'mls-error'} role="alert">
          {error.said === NOT_RUNNING
            ? trans.__('It starts by itself with the first module that runs.')
            : error.message}
        </div>
      )}
    </div>
  );
}
