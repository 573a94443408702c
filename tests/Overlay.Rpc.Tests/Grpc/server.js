// Serves echo.proto with grpc-js on a Unix socket until its standard input ends; prints a line once it listens.
// Arguments: socket, echo.proto, folder of node_modules.
const path = require('path');
const [socket, proto, modules] = process.argv.slice(2);
const load = name => require(require.resolve(name, { paths: [modules] }));
const grpc = load('@grpc/grpc-js');
const definition = load('@grpc/proto-loader').loadSync(path.resolve(proto), { keepCase: true, defaults: true });
const { Echo } = grpc.loadPackageDefinition(definition).overlay.test;

function say(call, callback) {
  const { text, padding } = call.request;
  if (text === 'wait') return;
  if (text === 'fail') callback({ code: grpc.status.OUT_OF_RANGE, details: 'zu groß: 100 %\n' });
  else if (text === 'deadline') callback(null, { text: String(call.getDeadline() - Date.now()) });
  else callback(null, { text, padding });
}

function count(call) {
  for (let number = 1; number <= call.request.number; number++) call.write({ text: call.request.text, number });
  if (call.request.text === 'fail') call.emit('error', { code: grpc.status.ABORTED, details: 'at the end' });
  else if (call.request.text !== 'wait') call.end();
}

const server = new grpc.Server({ 'grpc.max_receive_message_length': 1 << 20 });
server.addService(Echo.service, { Say: say, Count: count });
server.bindAsync(`unix:${socket}`, grpc.ServerCredentials.createInsecure(), error => {
  console.log(error ? String(error) : 'listening');
});
process.stdin.on('end', () => process.exit(0)).resume();
