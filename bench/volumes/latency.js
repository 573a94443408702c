// Times the calls of overlay-csi beside the bare commands that do the same, in turns and in one run. Runs in a mount namespace of its own.
// Arguments: overlay-csi, csi.proto, folder of node_modules, rounds.
const { spawn, spawnSync } = require('child_process');
const fs = require('fs');
const os = require('os');
const path = require('path');
const [program, proto, modules, rounds] = process.argv.slice(2);
const load = name => require(require.resolve(name, { paths: [modules] }));
const grpc = load('@grpc/grpc-js');
const includeDirs = [path.dirname(path.resolve(proto)), path.dirname(require.resolve('protobufjs/package.json', { paths: [modules] }))];
const definition = load('@grpc/proto-loader').loadSync(path.basename(proto), { keepCase: true, longs: Number, enums: String, includeDirs });
const services = grpc.loadPackageDefinition(definition).csi.v1;

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'overlay-csi-bench-'));
const pool = `${folder}/state/pools/fast`;
const socket = `${folder}/csi.sock`;
const times = {};
let clients = {};

const now = () => Number(process.hrtime.bigint()) / 1e6;
const note = (name, milliseconds) => (times[name] ??= []).push(milliseconds);
const median = values => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];

function sh(script) {
  const run = spawnSync('sh', ['-ec', script], { encoding: 'utf8' });
  if (run.status !== 0) throw new Error(`${script}: ${run.stderr}`);
  return run.stdout.trim();
}

function timedSh(name, script) {
  const start = now();
  const output = sh(script);
  note(name, now() - start);
  return output;
}

function call(service, method, request) {
  return new Promise((resolve, reject) => clients[service][method](
    request, { deadline: Date.now() + 60000 }, (error, response) => error ? reject(new Error(`${method}: ${error.details}`)) : resolve(response)));
}

async function timed(name, service, method, request) {
  const start = now();
  const response = await call(service, method, request);
  note(name, now() - start);
  return response;
}

async function ready() {
  for (let attempt = 0; attempt < 600; attempt++) {
    try {
      const { ready: isReady } = await call('Identity', 'Probe', {});
      if (isReady && isReady.value !== false) return;
    } catch {
      clients.Identity.getChannel().getConnectivityState(true);
    }
    await new Promise(resolve => setTimeout(resolve, 50));
  }
  throw new Error('overlay-csi does not get ready');
}

async function ours(round, kind, isMeasured) {
  const note_ = name => isMeasured ? `${kind} ${name}` : `warm-up ${name}`;
  const capability = { mount: { fs_type: kind }, access_mode: { mode: 'SINGLE_NODE_WRITER' } };
  const [staging, target] = [`${folder}/staging-${round}`, `${folder}/target-${round}`];
  const { volume: { volume_id: volume } } = await call('Controller', 'CreateVolume', {
    name: `${kind}-${round}`, capacity_range: { required_bytes: 320 << 20 }, volume_capabilities: [capability],
  });
  await timed(note_('stage'), 'Node', 'NodeStageVolume', { volume_id: volume, staging_target_path: staging, volume_capability: capability });
  await timed(note_('publish'), 'Node', 'NodePublishVolume', { volume_id: volume, staging_target_path: staging, target_path: target, volume_capability: capability });
  sh(`dd if=/dev/urandom of=${target}/data bs=1M count=8 status=none; sync -f ${target}`);
  const { snapshot: { snapshot_id: snapshot } } = await timed(note_('snapshot'), 'Controller', 'CreateSnapshot', { name: `${kind}-${round}`, source_volume_id: volume });
  await timed(note_('unpublish'), 'Node', 'NodeUnpublishVolume', { volume_id: volume, target_path: target });
  await timed(note_('unstage'), 'Node', 'NodeUnstageVolume', { volume_id: volume, staging_target_path: staging });
  await call('Controller', 'DeleteSnapshot', { snapshot_id: snapshot });
  await call('Controller', 'DeleteVolume', { volume_id: volume });
}

function bare(round, kind) {
  const [image, staging, target] = [`${pool}/bare-${round}`, `${folder}/staging-${round}`, `${folder}/target-${round}`];
  sh(`truncate -s 320M ${image}; mkdir -p ${staging} ${target}`);
  timedSh(`${kind} stage bare`, `d=$(losetup --find --show --direct-io=on ${image}); mkfs.${kind} -q $d; mount $d ${staging}`);
  timedSh(`${kind} publish bare`, `mount --bind ${staging} ${target}`);
  sh(`dd if=/dev/urandom of=${target}/data bs=1M count=8 status=none; sync -f ${target}`);
  timedSh(`${kind} snapshot bare`, `sync -f ${staging}; fsfreeze --freeze ${staging}; cp --reflink=always ${image} ${image}.snap; fsfreeze --unfreeze ${staging}`);
  timedSh(`${kind} unpublish bare`, `umount ${target}; rmdir ${target}`);
  timedSh(`${kind} unstage bare`, `d=$(findmnt -no SOURCE ${staging}); sync -f ${staging}; umount ${staging}; losetup --detach $d`);
  sh(`rm ${image} ${image}.snap; rmdir ${staging}`);
}

async function main() {
  const driver = spawn(program, [
    '--endpoint', `unix://${socket}`, '--node-id', 'bench', '--registration', 'none', '--api', 'none', '--state', `${folder}/state`,
    '--pool', `fast=image:${folder}/fast.img,4Gi`,
  ], { stdio: ['ignore', 'ignore', 'inherit'] });
  try {
    const credentials = grpc.credentials.createInsecure();
    clients = Object.fromEntries(['Identity', 'Controller', 'Node'].map(name => [name, new services[name](`unix:${socket}`, credentials)]));
    await ready();
    const kinds = ['ext4', 'xfs'];
    for (let round = 0; round < 3; round++) for (const kind of kinds) await ours(`warm-${round}`, kind, false);
    for (let round = 0; round < Number(rounds); round++) {
      for (const kind of kinds) {
        bare(round, kind);
        await ours(round, kind, true);
      }
    }
    console.log(`medians of ${rounds} rounds, in milliseconds`);
    console.log('call'.padEnd(20) + 'overlay-csi'.padStart(12) + 'bare'.padStart(10) + 'beyond it'.padStart(12));
    for (const kind of kinds) {
      for (const name of ['stage', 'publish', 'snapshot', 'unpublish', 'unstage']) {
        const [mine, commands] = [median(times[`${kind} ${name}`]), median(times[`${kind} ${name} bare`])];
        console.log(`${kind} ${name}`.padEnd(20) + mine.toFixed(1).padStart(12) + commands.toFixed(1).padStart(10) + (mine - commands).toFixed(1).padStart(12));
      }
    }
  } finally {
    Object.values(clients).forEach(client => client.close());
    const ended = new Promise(resolve => driver.on('exit', resolve));
    driver.kill('SIGTERM');
    await ended;
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

main().catch(error => {
  console.error(`latency.js: ${error.message}`);
  process.exitCode = 1;
});
