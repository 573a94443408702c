// Calls the server under test with grpc-js, a case at a time, and prints one line of JSON a case.
// Arguments: address, echo.proto, folder of node_modules, and for TLS: CA, client certificate, client key.
const fs = require('fs');
const path = require('path');
const [address, proto, modules, ca, cert, key] = process.argv.slice(2);
const load = name => require(require.resolve(name, { paths: [modules] }));
const grpc = load('@grpc/grpc-js');
const definition = load('@grpc/proto-loader').loadSync(path.resolve(proto), { keepCase: true, longs: String, defaults: true });
const credentials = ca
  ? grpc.credentials.createSsl(fs.readFileSync(ca), fs.readFileSync(key), fs.readFileSync(cert))
  : grpc.credentials.createInsecure();
const { Echo } = grpc.loadPackageDefinition(definition).overlay.test;
const anySize = { 'grpc.max_send_message_length': -1, 'grpc.max_receive_message_length': -1 };
const plain = new Echo(address, credentials, anySize);
const gzip = new Echo(address, credentials, { ...anySize, 'grpc.default_compression_algorithm': 2 });
const print = (name, result) => console.log(JSON.stringify({ name, ...result }));

function say(name, request, { deadline, cancelAfter, client = plain } = {}) {
  return new Promise(resolve => {
    const options = { deadline: Date.now() + (deadline ?? 30000) };
    const call = client.Say(request, options, (error, response) => {
      print(name, error ? { code: error.code, message: error.details } : { code: 0, message: response.text, number: response.padding.length });
      resolve();
    });
    if (cancelAfter) setTimeout(() => call.cancel(), cancelAfter);
  });
}

function count(name, request, { deadline, cancelAt } = {}) {
  return new Promise(resolve => {
    let received = 0;
    const call = plain.Count(request, { deadline: Date.now() + (deadline ?? 30000) });
    call.on('data', () => {
      received++;
      if (received === cancelAt) call.cancel();
    });
    call.on('error', () => {});
    call.on('status', status => {
      print(name, { code: status.code, message: status.details, number: received });
      resolve();
    });
  });
}

function raw(name, method) {
  return new Promise(resolve => {
    const same = value => value;
    plain.makeUnaryRequest(method, same, same, Buffer.alloc(0), (error, response) => {
      print(name, error ? { code: error.code, message: error.details } : { code: 0, message: '' });
      resolve();
    });
  });
}

async function main() {
  if (ca) {
    await say('tls', { text: 'certificate' });
    return;
  }
  await say('plain', { text: 'grüße' });
  await say('error', { text: 'fail' });
  await say('deadline', { text: 'wait' }, { deadline: 2000 });
  await say('cancel', { text: 'wait' }, { cancelAfter: 1500 });
  await say('large', { text: 'size', padding: Buffer.alloc(3 << 20, 7) });
  await say('too large', { text: 'size', padding: Buffer.alloc(5 << 20, 7) });
  await say('compressed', { text: 'plain' }, { client: gzip });
  await say('bug', { text: 'bug' });
  await count('stream', { text: '', number: 1000 });
  await count('stream error', { text: 'fail', number: 3 });
  await count('stream error at once', { text: 'fail', number: 0 });
  await count('stream cancel', { text: '', number: 1000000000 }, { cancelAt: 5 });
  await count('stream deadline', { text: 'wait', number: 2 }, { deadline: 2000 });
  await raw('unknown method', '/overlay.test.Echo/Nothing');
  await raw('unknown service', '/overlay.test.Nothing/Say');
}

main().then(() => [plain, gzip].forEach(client => client.close()));
