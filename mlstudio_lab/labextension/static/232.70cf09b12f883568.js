"use strict";(self.rspackChunk_mlstudio_lab=self.rspackChunk_mlstudio_lab||[]).push([[232],{475(r,e,o){var t=o(601),n=o.n(t),a=o(314),l=(o.n(a))()(n());l.push([r.id,`.mls-sidebar {
  overflow-y: auto;
  color: var(--jp-ui-font-color1);
  background: var(--jp-layout-color1);
  font-size: var(--jp-ui-font-size1);
}

.mls-cluster {
  display: flex;
  align-items: center;
  gap: 8px;
  padding: 10px 12px;
  border-bottom: 1px solid var(--jp-border-color2);
}

.mls-light {
  flex: none;
  width: 10px;
  height: 10px;
  border-radius: 50%;
}

.mls-light-green {
  background: var(--jp-success-color1);
}

.mls-light-amber {
  background: var(--jp-warn-color1);
}

.mls-light-red {
  background: var(--jp-error-color1);
}

.mls-section > summary {
  padding: 8px 12px;
  font-weight: 600;
  cursor: pointer;
  background: var(--jp-layout-color2);
  border-bottom: 1px solid var(--jp-border-color2);
}

.mls-list {
  margin: 0;
  padding: 0;
  list-style: none;
}

.mls-row {
  display: flex;
  align-items: center;
  gap: 6px;
  min-width: 0;
}

.mls-list > .mls-row,
.mls-run {
  padding: 6px 12px;
  border-bottom: 1px solid var(--jp-border-color3);
}

.mls-name {
  flex: 1;
  min-width: 0;
  overflow: hidden;
  text-overflow: ellipsis;
  white-space: nowrap;
}

.mls-chip {
  flex: none;
  padding: 0 6px;
  border: 1px solid var(--jp-border-color1);
  border-radius: 8px;
  font-size: var(--jp-ui-font-size0);
  line-height: 16px;
}

.mls-chip-tag {
  color: var(--jp-content-link-color);
  border-color: currentcolor;
}

.mls-chip-reused {
  color: var(--jp-ui-font-color1);
  background: var(--jp-layout-color3);
}

.mls-quiet,
.mls-empty,
.mls-why {
  color: var(--jp-ui-font-color2);
  font-size: var(--jp-ui-font-size0);
}

.mls-empty {
  padding: 0 12px;
}

.mls-why {
  margin: 2px 0 0 20px;
  overflow-wrap: anywhere;
}

.mls-symbol {
  flex: none;
  width: 14px;
  text-align: center;
}

.mls-state-succeeded .mls-symbol {
  color: var(--jp-success-color1);
}

.mls-state-failed .mls-symbol {
  color: var(--jp-error-color1);
}

.mls-state-running .mls-symbol {
  color: var(--jp-warn-color1);
}

.mls-error {
  margin: 4px 0 0 20px;
  color: var(--jp-error-color1);
  overflow-wrap: anywhere;
}

.mls-sidebar > .mls-error {
  margin: 8px 12px;
}

.mls-warning {
  margin: 2px 0 0 20px;
  font-size: var(--jp-ui-font-size0);
  border-left: 3px solid var(--jp-warn-color1);
  padding-left: 6px;
}

.mls-buttons {
  display: flex;
  gap: 4px;
  margin: 4px 0 0 14px;
}

.mls-buttons > button.jp-mod-minimal {
  height: 22px;
  line-height: 20px;
  padding: 0 8px;
  font-size: var(--jp-ui-font-size0);
  color: var(--jp-ui-font-color1);
  background: transparent;
  border: 1px solid var(--jp-border-color1);
  border-radius: 3px;
}

.mls-buttons > button.jp-mod-minimal:hover,
.mls-buttons > button.jp-mod-minimal:focus-visible {
  background: var(--jp-layout-color2);
}

.mls-form {
  margin: 6px 0 4px 14px;
}

.mls-form label {
  display: flex;
  align-items: center;
  gap: 6px;
  margin-bottom: 4px;
}

.mls-form label > span {
  flex: 0 0 40%;
  overflow: hidden;
  text-overflow: ellipsis;
}

.mls-form input {
  flex: 1;
  min-width: 0;
}
`,""]),o.d(e,{},{A:l})},314(r){r.exports=function(r){var e=[];return e.toString=function(){return this.map(function(e){var o="",t=void 0!==e[5];return e[4]&&(o+="@supports (".concat(e[4],") {")),e[2]&&(o+="@media ".concat(e[2]," {")),t&&(o+="@layer".concat(e[5].length>0?" ".concat(e[5]):""," {")),o+=r(e),t&&(o+="}"),e[2]&&(o+="}"),e[4]&&(o+="}"),o}).join("")},e.i=function(r,o,t,n,a){"string"==typeof r&&(r=[[null,r,void 0]]);var l={};if(t)for(var s=0;s<this.length;s++){var i=this[s][0];null!=i&&(l[i]=!0)}for(var p=0;p<r.length;p++){var c=[].concat(r[p]);t&&l[c[0]]||(void 0!==a&&(void 0===c[5]||(c[1]="@layer".concat(c[5].length>0?" ".concat(c[5]):""," {").concat(c[1],"}")),c[5]=a),o&&(c[2]&&(c[1]="@media ".concat(c[2]," {").concat(c[1],"}")),c[2]=o),n&&(c[4]?(c[1]="@supports (".concat(c[4],") {").concat(c[1],"}"),c[4]=n):c[4]="".concat(n)),e.push(c))}},e}},601(r){r.exports=function(r){return r[1]}},72(r){var e=[];function o(r){for(var o=-1,t=0;t<e.length;t++)if(e[t].identifier===r){o=t;break}return o}function t(r,t){for(var n={},a=[],l=0;l<r.length;l++){var s=r[l],i=t.base?s[0]+t.base:s[0],p=n[i]||0,c="".concat(i," ").concat(p);n[i]=p+1;var u=o(c),d={css:s[1],media:s[2],sourceMap:s[3],supports:s[4],layer:s[5]};if(-1!==u)e[u].references++,e[u].updater(d);else{var m=function(r,e){var o=e.domAPI(e);return o.update(r),function(e){e?(e.css!==r.css||e.media!==r.media||e.sourceMap!==r.sourceMap||e.supports!==r.supports||e.layer!==r.layer)&&o.update(r=e):o.remove()}}(d,t);t.byIndex=l,e.splice(l,0,{identifier:c,updater:m,references:1})}a.push(c)}return a}r.exports=function(r,n){var a=t(r=r||[],n=n||{});return function(r){r=r||[];for(var l=0;l<a.length;l++){var s=o(a[l]);e[s].references--}for(var i=t(r,n),p=0;p<a.length;p++){var c=o(a[p]);0===e[c].references&&(e[c].updater(),e.splice(c,1))}a=i}}},659(r){var e={};r.exports=function(r,o){var t=function(r){if(void 0===e[r]){var o=document.querySelector(r);if(window.HTMLIFrameElement&&o instanceof window.HTMLIFrameElement)try{o=o.contentDocument.head}catch(r){o=null}e[r]=o}return e[r]}(r);if(!t)throw Error("Couldn't find a style target. This probably means that the value for the 'insert' parameter is invalid.");t.appendChild(o)}},540(r){r.exports=function(r){var e=document.createElement("style");return r.setAttributes(e,r.attributes),r.insert(e,r.options),e}},56(r,e,o){r.exports=function(r){var e=o.nc;e&&r.setAttribute("nonce",e)}},206(r){r.exports=function(r){if("u"<typeof document)return{update:function(){},remove:function(){}};var e=r.insertStyleElement(r);return{update:function(o){var t,n,a;t="",o.supports&&(t+="@supports (".concat(o.supports,") {")),o.media&&(t+="@media ".concat(o.media," {")),(n=void 0!==o.layer)&&(t+="@layer".concat(o.layer.length>0?" ".concat(o.layer):""," {")),t+=o.css,n&&(t+="}"),o.media&&(t+="}"),o.supports&&(t+="}"),(a=o.sourceMap)&&"u">typeof btoa&&(t+="\n/*# sourceMappingURL=data:application/json;base64,".concat(btoa(unescape(encodeURIComponent(JSON.stringify(a))))," */")),r.styleTagTransform(t,e,r.options)},remove:function(){var r;null===(r=e).parentNode||r.parentNode.removeChild(r)}}}},113(r){r.exports=function(r,e){if(e.styleSheet)e.styleSheet.cssText=r;else{for(;e.firstChild;)e.removeChild(e.firstChild);e.appendChild(document.createTextNode(r))}}},579(r,e,o){var t=o(72),n=o.n(t),a=o(206),l=o.n(a),s=o(659),i=o.n(s),p=o(56),c=o.n(p),u=o(540),d=o.n(u),m=o(113),f=o.n(m),v=o(475),x={};x.styleTagTransform=f(),x.setAttributes=c(),x.insert=i().bind(null,"head"),x.domAPI=l(),x.insertStyleElement=d(),n()(v.A,x),v.A&&v.A.locals&&v.A.locals}}]);