using System.Diagnostics;
using System.Globalization;
using Overlay.Scale;

// The controller under test, then how many nodes join in each round.
if (args.Length < 2)
{
    Console.Error.WriteLine("usage: Overlay.Scale CONTROLLER NODES...");
    return 2;
}
Console.WriteLine("nodes  joined s  change median ms  change worst ms  controller MB  its CPU s  its CPU ms a node  its CPU idle");
bool good = true;
foreach (int nodes in args[1..].Select(text => int.Parse(text, CultureInfo.InvariantCulture)))
{
    await using var lab = new ScaleLab(args[0], nodes);
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
    if (joined > 60 || delays[^1] > 1000) good = false;
}
return good ? 0 : 1;
