using System.Diagnostics;
using System.Globalization;
using Overlay.Fuzz;
using Overlay.Fuzz.Targets;

const int RoundInputs = 10_000;

long wanted = 1_000_000;
int seed = Random.Shared.Next();
for (int i = 0; i < args.Length; i += 2)
{
    bool isNumber = long.TryParse(args.ElementAtOrDefault(i + 1), NumberStyles.None, CultureInfo.InvariantCulture, out long value);
    switch (args[i])
    {
        case "--inputs" when isNumber && value > 0:
            wanted = value;
            break;
        case "--seed" when isNumber && value <= int.MaxValue:
            seed = (int)value;
            break;
        default:
            Console.Error.WriteLine("usage: fuzz [--inputs N] [--seed S]: N inputs from 1, in rounds of 10000; S from 0 to 2147483647");
            return 2;
    }
}

using var memory = new GuardedMemory(128 * 1024);
var corpus = new Corpus(new Random(1));
IFuzzTarget[] targets = [new ViewTarget(memory), new CaptureTarget(), new IngressTarget(), new EgressTarget(), new BridgeTarget()];
var verdicts = new Verdicts();
var clock = Stopwatch.StartNew();
long done = 0;
while (done < wanted)
{
    // Ahead of the round: an out-of-bounds access ends the process where it stands.
    if (done % 1_000_000 == 0) Console.WriteLine($"{done} inputs, {clock.Elapsed.TotalSeconds:F0} s, next seed {seed}");
    var random = new Random(seed);
    var inputs = new InputSource(corpus, random);
    foreach (IFuzzTarget target in targets)
    {
        try
        {
            target.Run(random, inputs, RoundInputs * target.Share / 1000, verdicts);
        }
        catch (Exception exception)
        {
            Console.Error.WriteLine($"{target.Name} failed; repeat with --inputs {RoundInputs} --seed {seed}\n{exception}");
            return 1;
        }
    }
    done += RoundInputs;
    seed = (seed + 1) & int.MaxValue;
}
Console.WriteLine(string.Create(
    CultureInfo.InvariantCulture,
    $"{done} inputs in {clock.Elapsed.TotalSeconds:F1} s ({done / clock.Elapsed.TotalSeconds:F0} a second), the last with seed {(seed - 1) & int.MaxValue}: nothing thrown, nothing out of bounds, all accounted for"));
Console.WriteLine(verdicts);
return 0;
