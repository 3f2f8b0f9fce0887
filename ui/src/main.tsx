import { render } from "preact";
import { App } from "./app";
import "./style.css";

// The document has the header already, so that the first paint need not wait for this script.
const root = document.getElementById("app")!;
root.replaceChildren();
render(<App />, root);
