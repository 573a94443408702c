using System.Globalization;

namespace Overlay.Testing;

/// <summary>
/// Property tests on random input that can be repeated: every round has a seed of its own, a failure names it, and the environment
/// variable <c>OVERLAY_SEED</c> makes it the seed of the first round.
/// </summary>
public static class Seeded
{
    private const string SeedVariable = "OVERLAY_SEED";

    /// <param name="rounds">How often to check; the seeds of a run are consecutive.</param>
    /// <param name="property">Throws if the property does not hold.</param>
    /// <exception cref="SeededFailureException">The property threw; the message names the seed.</exception>
    public static void Check(int rounds, Action<Random> property)
    {
        int first = FirstSeed();
        for (int round = 0; round < rounds; round++)
        {
            int seed = unchecked(first + round);
            try
            {
                property(new Random(seed));
            }
            catch (Exception failure)
            {
                throw new SeededFailureException(
                    $"Failed with seed {seed} in round {round}; repeat with {SeedVariable}={seed}. {failure.Message}", failure);
            }
        }
    }

    /// <summary>As <see cref="Check"/>, once, for a property that waits and makes what is random of the seed itself.</summary>
    /// <exception cref="SeededFailureException">The property threw; the message names the seed.</exception>
    public static async Task CheckAsync(Func<int, Task> property)
    {
        int seed = FirstSeed();
        try
        {
            await property(seed).ConfigureAwait(false);
        }
        catch (Exception failure)
        {
            throw new SeededFailureException($"Failed with seed {seed}; repeat with {SeedVariable}={seed}. {failure.Message}", failure);
        }
    }

    private static int FirstSeed()
    {
        string? text = Environment.GetEnvironmentVariable(SeedVariable);
        return text is null ? Random.Shared.Next() : int.Parse(text, CultureInfo.InvariantCulture);
    }
}

/// <summary>A property did not hold. The message names the seed, the inner exception says what went wrong.</summary>
public sealed class SeededFailureException(string message, Exception failure) : Exception(message, failure);
