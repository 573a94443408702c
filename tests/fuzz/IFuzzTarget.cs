namespace Overlay.Fuzz;

/// <summary>What takes hostile input. Throws when a promise is broken.</summary>
internal interface IFuzzTarget
{
    string Name { get; }

    /// <summary>Of a thousand inputs, how many this target gets.</summary>
    int Share { get; }

    /// <param name="random">Of this round.</param>
    /// <param name="inputs">Makes inputs.</param>
    /// <param name="count">How many to take.</param>
    /// <param name="verdicts">Told what the packet path made of them.</param>
    void Run(Random random, InputSource inputs, int count, Verdicts verdicts);
}
