using System.Diagnostics;
using System.Globalization;
using Overlay.Scale;

// How long the parts that have no end of their own take, and on how many controllers; then their program, the store, and how many nodes join in each round.
int controllers = 1, churnSeconds = 45, idleSeconds = 10;
int next = 0;
for (; next + 1 < args.Length && args[next].StartsWith("--", StringComparison.Ordinal); next += 2)
{
    bool isNumber = int.TryParse(args[next + 1], NumberStyles.None, CultureInfo.InvariantCulture, out int number);
    if (args[next] == "--controllers" && isNumber && number is > 0 and < 10) controllers = number;
    else if (args[next] == "--churn-seconds" && isNumber) churnSeconds = number;
    else if (args[next] == "--idle-seconds" && isNumber && number > 0) idleSeconds = number;
    else return Usage();
}
string[] rest = args[next..];
if (rest.Length < 3 || rest[1] is not ("sqlite" or "etcd") || !rest[2..].All(text => int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int nodes) && nodes > 0)) return Usage();
bool etcd = rest[1] == "etcd";
// Slower than it is to be.
bool good = churnSeconds == 0 || await ChurnAsync(rest[0], etcd, TimeSpan.FromSeconds(churnSeconds)).ConfigureAwait(false);
Console.WriteLine("nodes  joined s  change median ms  change worst ms  controller MB  its CPU s  its CPU ms a node  its CPU idle");
foreach (int nodes in rest[2..].Select(text => int.Parse(text, CultureInfo.InvariantCulture)))
{
    await using var lab = new ScaleLab(rest[0], nodes, etcd, controllers);
    await lab.StartAsync().ConfigureAwait(false);
    long start = Stopwatch.GetTimestamp();
    await lab.JoinAsync().ConfigureAwait(false);
    double joined = Stopwatch.GetElapsedTime(start).TotalSeconds;
    double joinCpu = lab.ControllerCpu();
    if (lab.CountAddresses() is var (all, distinct) && (all != distinct || all != nodes * ScaleLab.AddressesEach))
    {
        Console.Error.WriteLine($"{nodes} nodes hold {all} addresses, {distinct} of them different: a fault");
        return 1;
    }
    await lab.SettleAsync().ConfigureAwait(false);
    var delays = new List<double>();
    for (int change = 0; change < 10; change++) delays.AddRange(await lab.ChangeAsync(change).ConfigureAwait(false));
    delays.Sort();
    double before = lab.ControllerCpu();
    await Task.Delay(TimeSpan.FromSeconds(idleSeconds)).ConfigureAwait(false);
    double idle = (lab.ControllerCpu() - before) / idleSeconds;
    Console.WriteLine(string.Create(
        CultureInfo.InvariantCulture,
        $"{nodes,5}  {joined,8:0.0}  {delays[delays.Count / 2],16:0.0}  {delays[^1],15:0.0}  {lab.ControllerMegabytes(),13:0}  {joinCpu,9:0.0}  {joinCpu * 1000 / nodes,17:0.0}  {idle,11:0.0 %}"));
    if (lab.EtcdUse() is var (megabytes, cpu)) Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"       etcd: {megabytes:0} MB, {cpu:0.0} CPU s"));
    if (joined > 60 || delays[^1] > 1000) good = false;
}
return good ? 0 : 3;

// One node hands out 10,000 addresses a minute, of blocks that it leases as it goes, for longer than a released one cools down.
static async Task<bool> ChurnAsync(string controller, bool etcd, TimeSpan duration)
{
    await using var lab = new ScaleLab(controller, 1, etcd, 1, onDisk: true);
    await lab.StartAsync().ConfigureAwait(false);
    await lab.JoinAsync().ConfigureAwait(false);
    await lab.SettleAsync().ConfigureAwait(false);
    (List<double> milliseconds, int refused, int blocks) = await lab.ChurnAsync(10_000 / 60.0, duration).ConfigureAwait(false);
    milliseconds.Sort();
    Console.WriteLine(string.Create(
        CultureInfo.InvariantCulture,
        $"one node, its journal on {lab.KeptOn}, {milliseconds.Count} addresses in {duration.TotalSeconds:0} s, each held for 5 s and then cooling down for 30: median {milliseconds[milliseconds.Count / 2]:0.000} ms, "
            + $"99 of 100 below {milliseconds[milliseconds.Count * 99 / 100]:0.000} ms, worst {milliseconds[^1]:0.000} ms, {refused} refused, {blocks} blocks leased"));
    return refused == 0 && milliseconds[milliseconds.Count * 99 / 100] < 1;
}

static int Usage()
{
    Console.Error.WriteLine("usage: Overlay.Scale [--controllers N] [--churn-seconds N] [--idle-seconds N] CONTROLLER sqlite|etcd NODES...");
    return 2;
}
