using System.Reflection;
using BenchmarkDotNet.Attributes;
using Overlay.Bench.Forwarding;
using Overlay.Bench.Wire;
using Overlay.Testing;

namespace Overlay.Bench.Tests;

/// <summary>Every benchmark of the packet path runs, with every combination of its parameters, and allocates nothing.</summary>
public sealed class StageTests
{
    private const int Rounds = 10;

    public static TheoryData<Type> Stages =>
        [.. typeof(ChecksumBenchmarks).Assembly.GetTypes().Where(type => Benchmarks(type).Any() && !IsControl(type)).OrderBy(type => type.FullName)];

    [Theory]
    [MemberData(nameof(Stages))]
    public void Benchmark_OfEachStage_AllocatesNothing(Type stage)
    {
        var allocating = new List<string>();
        foreach ((PropertyInfo Property, object Value)[] parameters in Combinations(stage))
        {
            object instance = Activator.CreateInstance(stage)!;
            if (instance is RouteLookupBenchmarks routes) routes.Thinning = 100;
            foreach ((PropertyInfo property, object value) in parameters) property.SetValue(instance, value);
            foreach (MethodInfo setup in With<GlobalSetupAttribute>(stage)) setup.Invoke(instance, null);
            foreach (MethodInfo benchmark in Benchmarks(stage))
            {
                Action run = ActionOf(benchmark, instance);
                run();
                long allocated = AllocationMeter.Measure(() =>
                {
                    for (int i = 0; i < Rounds; i++) run();
                });
                string values = string.Join(", ", parameters.Select(parameter => $"{parameter.Property.Name}={parameter.Value}"));
                if (allocated != 0) allocating.Add($"{benchmark.Name}({values}): {allocated} bytes in {Rounds} rounds");
            }
        }
        Assert.Empty(allocating);
    }

    [Theory]
    [MemberData(nameof(Stages))]
    public void Stage_InTheReport_ShowsAllocatedBytes(Type stage) => Assert.NotNull(stage.GetCustomAttribute<MemoryDiagnoserAttribute>());

    /// <summary>What makes tables for the packet path allocates them.</summary>
    private static bool IsControl(Type type) => type.GetCustomAttribute<BenchmarkCategoryAttribute>()?.Categories.Contains("Control") == true;

    private static IEnumerable<MethodInfo> Benchmarks(Type type) => With<BenchmarkAttribute>(type);

    private static IEnumerable<MethodInfo> With<T>(Type type) where T : Attribute =>
        type.GetMethods().Where(method => method.GetCustomAttribute<T>() is not null);

    private static IEnumerable<(PropertyInfo Property, object Value)[]> Combinations(Type stage)
    {
        IEnumerable<(PropertyInfo Property, object Value)[]> combinations = [[]];
        foreach (PropertyInfo property in stage.GetProperties())
        {
            object[] values = Values(property);
            if (values.Length > 0) combinations = combinations.SelectMany(rest => values.Select(value => rest.Append((property, value)).ToArray()));
        }
        return combinations;
    }

    private static object[] Values(PropertyInfo property)
    {
        if (property.GetCustomAttribute<ParamsAttribute>() is { } listed) return listed.Values!;
        if (property.GetCustomAttribute<ParamsAllValuesAttribute>() is null) return [];
        return property.PropertyType == typeof(bool) ? [false, true] : [.. Enum.GetValues(property.PropertyType).Cast<object>()];
    }

    // A typed delegate, for reflection boxes what it returns.
    private static Action ActionOf(MethodInfo benchmark, object instance) =>
        (Action)typeof(StageTests).GetMethod(nameof(Discard), BindingFlags.NonPublic | BindingFlags.Static)!
            .MakeGenericMethod(benchmark.ReturnType).Invoke(null, [benchmark, instance])!;

    private static Action Discard<T>(MethodInfo benchmark, object instance)
    {
        Func<T> call = benchmark.CreateDelegate<Func<T>>(instance);
        return () => call();
    }
}
