import { explorerPlugin } from "@graphiql/plugin-explorer";
import { createGraphiQLFetcher } from "@graphiql/toolkit";
import { GraphiQL, HISTORY_PLUGIN } from "graphiql";
import { Kind, parse } from "graphql";
import { createRoot } from "react-dom/client";
import "@graphiql/react/style.css";
import "@graphiql/plugin-doc-explorer/style.css";
import "@graphiql/plugin-history/style.css";
import "@graphiql/plugin-explorer/style.css";
import "graphiql/graphiql.css";
import "./style.css";
import { examples } from "./examples.js";

// WORKERS comes from build.mjs: the addresses of Monaco's language workers, files of this origin.
globalThis.MonacoEnvironment = {
  getWorker: (_id, label) => new Worker(WORKERS[label] ?? WORKERS.editor),
};

const endpoint = new URL("/graphql", location.href);
const socket = new URL(endpoint);
socket.protocol = endpoint.protocol === "https:" ? "wss:" : "ws:";

// Subscriptions speak graphql-transport-ws; what stands under Headers is sent as the connection's parameters.
const send = createGraphiQLFetcher({
  url: endpoint.href,
  subscriptionUrl: socket.href,
  enableIncrementalDelivery: false,
});

// GraphiQL reads the text a moment after it changed, and only once it has a schema: until then it would send the name
// of the operation that stood there before, and a subscription over HTTP. So what is sent is read here.
function fetcher(request, options) {
  const documentAST = parsed(request.query);
  const operations = documentAST?.definitions.filter(({ kind }) => kind === Kind.OPERATION_DEFINITION) ?? [];
  const operationName = operations.length === 1 ? operations[0].name?.value : request.operationName;
  return send({ ...request, operationName }, { ...options, documentAST });
}

function parsed(query) {
  try {
    return parse(query);
  } catch {
    return undefined; // the server says where the mistake is
  }
}

const plugins = [HISTORY_PLUGIN, explorerPlugin()];

createRoot(document.getElementById("graphiql")).render(
  <GraphiQL fetcher={fetcher} plugins={plugins} defaultTabs={examples} shouldPersistHeaders={false}>
    <GraphiQL.Logo>ML Registry</GraphiQL.Logo>
  </GraphiQL>,
);
