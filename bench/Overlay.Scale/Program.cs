using System.Diagnostics;
using System.Globalization;
using Overlay.Scale;

// The controller under test, its store, then how many nodes join in each round.
if (args.Length < 3 || args[1] is not ("sqlite" or "etcd"))
{
    Console.Error.WriteLine("usage: Overlay.Scale CONTROLLER sqlite|etcd NODES...");
    return 2;
}
bool etcd = args[1] == "etcd";
bool good = await ChurnAsync(args[0], etcd).ConfigureAwait(false);
Console.WriteLine("nodes  joined s  change median ms  change worst ms  controller MB  its CPU s  its CPU ms a node  its CPU idle");
foreach (int nodes in args[2..].Select(text => int.Parse(text, CultureInfo.InvariantCulture)))
{
    await using var lab = new ScaleLab(args[0], nodes, etcd);
    await lab.StartAsync().ConfigureAwait(false);
    long start = Stopwatch.GetTimestamp();
    await lab.JoinAsync().ConfigureAwait(false);
    double joined = Stopwatch.GetElapsedTime(start).TotalSeconds;
    double joinCpu = lab.ControllerCpu();
    if (lab.CountAddresses() is var (all, distinct) && (all != distinct || all != nodes * ScaleLab.AddressesEach))
    {
        Console.Error.WriteLine($"{nodes} nodes hold {all} addresses, {distinct} of them different: a fault");
        good = false;
    }
    await lab.SettleAsync().ConfigureAwait(false);
    var delays = new List<double>();
    for (int change = 0; change < 10; change++) delays.AddRange(await lab.ChangeAsync(change).ConfigureAwait(false));
    delays.Sort();
    double before = lab.ControllerCpu();
    await Task.Delay(TimeSpan.FromSeconds(10)).ConfigureAwait(false);
    double idle = (lab.ControllerCpu() - before) / 10;
    Console.WriteLine(string.Create(
        CultureInfo.InvariantCulture,
        $"{nodes,5}  {joined,8:0.0}  {delays[delays.Count / 2],16:0.0}  {delays[^1],15:0.0}  {lab.ControllerMegabytes(),13:0}  {joinCpu,9:0.0}  {joinCpu * 1000 / nodes,17:0.0}  {idle,11:0.0 %}"));
    if (lab.EtcdUse() is var (megabytes, cpu)) Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"       etcd: {megabytes:0} MB, {cpu:0.0} CPU s"));
    if (joined > 60 || delays[^1] > 1000) good = false;
}
return good ? 0 : 1;

// One node hands out 10,000 addresses a minute, of blocks that it leases as it goes, for longer than a released one cools down.
static async Task<bool> ChurnAsync(string controller, bool etcd)
{
    await using var lab = new ScaleLab(controller, 1, etcd);
    await lab.StartAsync().ConfigureAwait(false);
    await lab.JoinAsync().ConfigureAwait(false);
    await lab.SettleAsync().ConfigureAwait(false);
    (List<double> milliseconds, int refused, int blocks) = await lab.ChurnAsync(10_000 / 60.0, TimeSpan.FromSeconds(45)).ConfigureAwait(false);
    milliseconds.Sort();
    Console.WriteLine(string.Create(
        CultureInfo.InvariantCulture,
        $"one node, {milliseconds.Count} addresses in 45 s, each held for 5 s and then cooling down for 30: median {milliseconds[milliseconds.Count / 2]:0.000} ms, "
            + $"99 of 100 below {milliseconds[milliseconds.Count * 99 / 100]:0.000} ms, worst {milliseconds[^1]:0.000} ms, {refused} refused, {blocks} blocks leased"));
    return refused == 0 && milliseconds[milliseconds.Count * 99 / 100] < 1;
}
