import { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';
import type { Module } from '../api';

/** The modules of this home, newest first, with their newest version and tags. */
export function Modules(props: {
  modules: Module[];
  trans: TranslationBundle;
}): JSX.Element {
  const { modules, trans } = props;
  if (!modules.length) {
    return (
      <p className="mls-empty">
        {trans.__('None yet. Put %%module team/name on top of a cell.')}
      </p>
    );
  }
  return (
    <ul className="mls-list">
      {modules.map(row => (
        <li className="mls-row" key={row.name} data-module={row.name}>
          <span className="mls-name" title={row.name}>
            {row.name}
          </span>
          <span className="mls-chip">v{row.latest_number}</span>
          {Object.entries(row.tags ?? {}).map(([tag, number]) => (
            <span
              className="mls-chip mls-chip-tag"
              key={tag}
              title={`v${number}`}
            >
              {tag}
            </span>
          ))}
          <span className="mls-quiet">{row.kind}</span>
        </li>
      ))}
    </ul>
  );
}
