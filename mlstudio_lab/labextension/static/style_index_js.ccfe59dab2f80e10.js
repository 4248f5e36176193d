"use strict";(self.rspackChunk_mlstudio_lab=self.rspackChunk_mlstudio_lab||[]).push([["style_index_js"],{"./node_modules/css-loader/dist/cjs.js!./style/base.css"(e,o,t){var r=t("./node_modules/css-loader/dist/runtime/noSourceMaps.js"),s=t.n(r),n=t("./node_modules/css-loader/dist/runtime/api.js"),l=(t.n(n))()(s());l.push([e.id,`.mls-sidebar {
  color: var(--jp-ui-font-color1);
  background: var(--jp-layout-color1);
  font-size: var(--jp-ui-font-size1);
}

/* Green and amber that read on both themes; JupyterLab's own are made for buttons. */
body[data-jp-theme-light='true'] {
  --mls-good: #2e7d32;
  --mls-bad: #c62828;
  --mls-warn: #b26a00;
}

body[data-jp-theme-light='false'] {
  --mls-good: #66bb6a;
  --mls-bad: #ef7f7a;
  --mls-warn: #ffb74d;
}

.mls-section {
  overflow: auto;
}

.mls-sidebar > .jp-SidePanel-header {
  padding: 0;
  border-bottom: none;
}

.mls-section-status {
  width: 100%;
}

.mls-stale > .mls-list {
  opacity: 0.55;
}

/* the cluster light */

.mls-sidebar .mls-status {
  padding: 6px 12px;
  font-size: var(--jp-ui-font-size1);
  font-weight: 400;
  letter-spacing: normal;
  text-transform: none;
  border-bottom: 1px solid var(--jp-border-color2);
}

.mls-cluster {
  display: flex;
  align-items: center;
  gap: 8px;
  min-height: 24px;
}

.mls-cluster-words {
  flex: 1;
  min-width: 0;
  overflow-wrap: anywhere;
}

.mls-light {
  flex: none;
  width: 10px;
  height: 10px;
  border-radius: 50%;
  background: var(--jp-border-color1);
}

.mls-light-green {
  background: var(--mls-good);
}

.mls-light-amber {
  background: var(--mls-warn);
}

.mls-light-red {
  background: var(--mls-bad);
}

/* lists */

.mls-list {
  margin: 0;
  padding: 0;
  list-style: none;
}

.mls-row,
.mls-module {
  display: flex;
  align-items: center;
  gap: 6px;
  min-width: 0;
}

.mls-module {
  min-height: 28px;
  padding: 0 12px;
}

.mls-run {
  padding: 7px 12px 6px;
  border-bottom: 1px solid var(--jp-border-color3);
}

.mls-module:hover,
.mls-run:hover {
  background: var(--jp-layout-color2);
}

.mls-name {
  flex: 1 1 auto;
  min-width: 40px;
  overflow: hidden;
  text-overflow: ellipsis;
  white-space: nowrap;
}

.mls-two {
  display: flex;
}

.mls-space,
.mls-leaf {
  min-width: 2ch;
  overflow: hidden;
  text-overflow: ellipsis;
}

.mls-space {
  flex-shrink: 1000;
}

.mls-run > .mls-row > .mls-name {
  flex: 0 1 auto;
  font-weight: 600;
}

.mls-version,
.mls-quiet,
.mls-facts,
.mls-outcome,
.mls-why,
.mls-empty {
  color: var(--jp-ui-font-color2);
  font-size: var(--jp-ui-font-size0);
}

.mls-version,
.mls-quiet,
.mls-outcome {
  flex: none;
  white-space: nowrap;
}

.mls-module .mls-version {
  min-width: 22px;
  text-align: right;
}

.mls-outcome {
  margin-left: auto;
  font-variant-numeric: tabular-nums;
}

.mls-tag {
  flex: 0 1 auto;
  min-width: 0;
  max-width: 45%;
  padding: 0 6px;
  overflow: hidden;
  text-overflow: ellipsis;
  white-space: nowrap;
  font-size: var(--jp-ui-font-size0);
  line-height: 16px;
  color: var(--jp-content-link-color);
  border: 1px solid currentcolor;
  border-radius: 9px;
}

.mls-dot {
  flex: none;
  box-sizing: border-box;
  width: 9px;
  height: 9px;
  border: 2px solid var(--jp-ui-font-color3);
  border-radius: 50%;
}

.mls-dot.mls-state-succeeded {
  background: var(--mls-good);
  border-color: var(--mls-good);
}

.mls-dot.mls-state-failed {
  background: var(--mls-bad);
  border-color: var(--mls-bad);
  border-radius: 2px;
}

.mls-dot.mls-state-cancelled {
  height: 3px;
  background: var(--jp-ui-font-color3);
  border: none;
  border-radius: 1px;
}

.mls-dot.mls-state-running {
  border-color: var(--mls-warn);
  border-top-color: transparent;
  animation: mls-turn 1s linear infinite;
}

@keyframes mls-turn {
  to {
    transform: rotate(360deg);
  }
}

@media (prefers-reduced-motion: reduce) {
  .mls-dot.mls-state-running {
    animation: none;
  }
}

.mls-state-running .mls-outcome {
  color: var(--mls-warn);
}

.mls-state-failed .mls-outcome {
  color: var(--mls-bad);
}

.mls-why,
.mls-error,
.mls-warning {
  margin: 3px 0 0 15px;
  overflow-wrap: anywhere;
  line-height: 1.4;
}

.mls-why {
  display: -webkit-box;
  overflow: hidden;
  -webkit-box-orient: vertical;
  -webkit-line-clamp: 3;
}

.mls-error {
  max-height: 7em;
  overflow: auto;
  color: var(--mls-bad);
  font-size: var(--jp-ui-font-size0);
  white-space: pre-wrap;
}

.mls-status > .mls-error,
.mls-status > .mls-note {
  margin: 0 0 2px 18px;
}

.mls-warning {
  padding-left: 6px;
  font-size: var(--jp-ui-font-size0);
  border-left: 3px solid var(--mls-warn);
}

.mls-foot {
  margin: 3px 0 0 15px;
}

/* Facts that do not fit wrap to a second line, which is not shown. */
.mls-facts {
  display: flex;
  flex: 1;
  flex-wrap: wrap;
  min-width: 0;
  height: 1.4em;
  overflow: hidden;
  line-height: 1.4;
  white-space: nowrap;
}

.mls-facts > span:not(:first-child)::before {
  content: '\xb7';
  margin: 0 4px;
}

.mls-note {
  margin: 0;
  color: var(--jp-ui-font-color2);
  font-size: var(--jp-ui-font-size0);
  line-height: 1.4;
}

.mls-empty {
  margin: 0;
  padding: 10px 12px;
  line-height: 1.5;
}

.mls-empty code {
  display: block;
  color: var(--jp-ui-font-color1);
  font-family: var(--jp-code-font-family);
  background: none;
}

.mls-older {
  padding: 8px 12px;
  text-align: center;
}

/* controls */

.mls-button {
  flex: none;
  height: 22px;
  padding: 0 8px;
  line-height: 20px;
  font-family: inherit;
  font-size: var(--jp-ui-font-size0);
  color: var(--jp-ui-font-color1);
  background: transparent;
  border: 1px solid var(--jp-border-color1);
  border-radius: 3px;
  cursor: pointer;
}

.mls-button:hover:not(:disabled),
.mls-button[aria-expanded='true'] {
  background: var(--jp-layout-color3);
}

.mls-button:disabled {
  cursor: default;
  opacity: 0.5;
}

.mls-button-main {
  color: #fff;
  background: #1565c0;
  border-color: #1565c0;
}

.mls-button-main:hover:not(:disabled) {
  background: #0d47a1;
}

.mls-input {
  box-sizing: border-box;
  min-width: 0;
  height: 24px;
  padding: 0 6px;
  font-family: inherit;
  font-size: var(--jp-ui-font-size1);
  color: var(--jp-ui-font-color1);
  background: var(--jp-layout-color0);
  border: 1px solid var(--jp-border-color1);
  border-radius: 3px;
}

.mls-button:focus-visible,
.mls-input:focus-visible {
  outline: 2px solid var(--jp-brand-color1);
  outline-offset: 1px;
}

.mls-filter {
  width: calc(100% - 24px);
  margin: 6px 12px;
}

.mls-form {
  margin: 8px 0 4px 15px;
  padding: 8px;
  background: var(--jp-layout-color2);
  border-radius: 4px;
}

.mls-form label {
  display: block;
  margin-bottom: 8px;
}

.mls-form label > .mls-row {
  justify-content: space-between;
  margin-bottom: 2px;
}

.mls-form .mls-input {
  width: 100%;
  font-family: var(--jp-code-font-family);
  font-size: var(--jp-code-font-size);
}

.mls-form .mls-input::placeholder {
  font-family: var(--jp-ui-font-family);
  font-style: italic;
  color: var(--jp-ui-font-color2);
}

.mls-changed .mls-name {
  font-weight: 600;
}

.mls-form > p {
  margin: 0 0 8px;
}

.mls-buttons {
  display: flex;
  gap: 6px;
}
`,""]),t.d(o,{},{A:l})},"./node_modules/css-loader/dist/runtime/api.js"(e){e.exports=function(e){var o=[];return o.toString=function(){return this.map(function(o){var t="",r=void 0!==o[5];return o[4]&&(t+="@supports (".concat(o[4],") {")),o[2]&&(t+="@media ".concat(o[2]," {")),r&&(t+="@layer".concat(o[5].length>0?" ".concat(o[5]):""," {")),t+=e(o),r&&(t+="}"),o[2]&&(t+="}"),o[4]&&(t+="}"),t}).join("")},o.i=function(e,t,r,s,n){"string"==typeof e&&(e=[[null,e,void 0]]);var l={};if(r)for(var a=0;a<this.length;a++){var i=this[a][0];null!=i&&(l[i]=!0)}for(var d=0;d<e.length;d++){var m=[].concat(e[d]);r&&l[m[0]]||(void 0!==n&&(void 0===m[5]||(m[1]="@layer".concat(m[5].length>0?" ".concat(m[5]):""," {").concat(m[1],"}")),m[5]=n),t&&(m[2]&&(m[1]="@media ".concat(m[2]," {").concat(m[1],"}")),m[2]=t),s&&(m[4]?(m[1]="@supports (".concat(m[4],") {").concat(m[1],"}"),m[4]=s):m[4]="".concat(s)),o.push(m))}},o}},"./node_modules/css-loader/dist/runtime/noSourceMaps.js"(e){e.exports=function(e){return e[1]}},"./node_modules/style-loader/dist/runtime/injectStylesIntoStyleTag.js"(e){var o=[];function t(e){for(var t=-1,r=0;r<o.length;r++)if(o[r].identifier===e){t=r;break}return t}function r(e,r){for(var s={},n=[],l=0;l<e.length;l++){var a=e[l],i=r.base?a[0]+r.base:a[0],d=s[i]||0,m="".concat(i," ").concat(d);s[i]=d+1;var u=t(m),c={css:a[1],media:a[2],sourceMap:a[3],supports:a[4],layer:a[5]};if(-1!==u)o[u].references++,o[u].updater(c);else{var p=function(e,o){var t=o.domAPI(o);return t.update(e),function(o){o?(o.css!==e.css||o.media!==e.media||o.sourceMap!==e.sourceMap||o.supports!==e.supports||o.layer!==e.layer)&&t.update(e=o):t.remove()}}(c,r);r.byIndex=l,o.splice(l,0,{identifier:m,updater:p,references:1})}n.push(m)}return n}e.exports=function(e,s){var n=r(e=e||[],s=s||{});return function(e){e=e||[];for(var l=0;l<n.length;l++){var a=t(n[l]);o[a].references--}for(var i=r(e,s),d=0;d<n.length;d++){var m=t(n[d]);0===o[m].references&&(o[m].updater(),o.splice(m,1))}n=i}}},"./node_modules/style-loader/dist/runtime/insertBySelector.js"(e){var o={};e.exports=function(e,t){var r=function(e){if(void 0===o[e]){var t=document.querySelector(e);if(window.HTMLIFrameElement&&t instanceof window.HTMLIFrameElement)try{t=t.contentDocument.head}catch(e){t=null}o[e]=t}return o[e]}(e);if(!r)throw Error("Couldn't find a style target. This probably means that the value for the 'insert' parameter is invalid.");r.appendChild(t)}},"./node_modules/style-loader/dist/runtime/insertStyleElement.js"(e){e.exports=function(e){var o=document.createElement("style");return e.setAttributes(o,e.attributes),e.insert(o,e.options),o}},"./node_modules/style-loader/dist/runtime/setAttributesWithoutAttributes.js"(e,o,t){e.exports=function(e){var o=t.nc;o&&e.setAttribute("nonce",o)}},"./node_modules/style-loader/dist/runtime/styleDomAPI.js"(e){e.exports=function(e){if("u"<typeof document)return{update:function(){},remove:function(){}};var o=e.insertStyleElement(e);return{update:function(t){var r,s,n;r="",t.supports&&(r+="@supports (".concat(t.supports,") {")),t.media&&(r+="@media ".concat(t.media," {")),(s=void 0!==t.layer)&&(r+="@layer".concat(t.layer.length>0?" ".concat(t.layer):""," {")),r+=t.css,s&&(r+="}"),t.media&&(r+="}"),t.supports&&(r+="}"),(n=t.sourceMap)&&"u">typeof btoa&&(r+="\n/*# sourceMappingURL=data:application/json;base64,".concat(btoa(unescape(encodeURIComponent(JSON.stringify(n))))," */")),e.styleTagTransform(r,o,e.options)},remove:function(){var e;null===(e=o).parentNode||e.parentNode.removeChild(e)}}}},"./node_modules/style-loader/dist/runtime/styleTagTransform.js"(e){e.exports=function(e,o){if(o.styleSheet)o.styleSheet.cssText=e;else{for(;o.firstChild;)o.removeChild(o.firstChild);o.appendChild(document.createTextNode(e))}}},"./style/index.js"(e,o,t){var r=t("./node_modules/style-loader/dist/runtime/injectStylesIntoStyleTag.js"),s=t.n(r),n=t("./node_modules/style-loader/dist/runtime/styleDomAPI.js"),l=t.n(n),a=t("./node_modules/style-loader/dist/runtime/insertBySelector.js"),i=t.n(a),d=t("./node_modules/style-loader/dist/runtime/setAttributesWithoutAttributes.js"),m=t.n(d),u=t("./node_modules/style-loader/dist/runtime/insertStyleElement.js"),c=t.n(u),p=t("./node_modules/style-loader/dist/runtime/styleTagTransform.js"),f=t.n(p),h=t("./node_modules/css-loader/dist/cjs.js!./style/base.css"),b={};b.styleTagTransform=f(),b.setAttributes=m(),b.insert=i().bind(null,"head"),b.domAPI=l(),b.insertStyleElement=c(),s()(h.A,b),h.A&&h.A.locals&&h.A.locals}}]);