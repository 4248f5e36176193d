import * as React from 'react';

/** `namespace/name` in what room there is: the namespace gives way first, because names within one differ at their end. */
export function Name(props: { name: string; title?: string }): JSX.Element {
  const cut = props.name.lastIndexOf('/') + 1;
  return (
    <span className="mls-name mls-two" title={props.title}>
      <span className="mls-space">{props.name.slice(0, cut)}</span>
      <span className="mls-leaf">{props.name.slice(cut)}</span>
    </span>
  );
}
