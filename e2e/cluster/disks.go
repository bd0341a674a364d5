package main

import (
	"context"
	"errors"
	"log"
	"os"
	"path/filepath"
	"strings"
	"time"

	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

// provisioner is the name that the storage class and the volumes have.
const provisioner = "orion-db.dev/disks"

// disks makes a local volume for each claim: a folder root/NODE/disks/VOLUME, which belongs to that node as a disk in a
// machine does, and whose group the kubelet sets, so that a user other than root can write. Claims may grow; the folder
// has no size anyway.
type disks struct {
	client  kubernetes.Interface
	root    string
	claims  listers.PersistentVolumeClaimLister
	volumes listers.PersistentVolumeLister
}

// runDisks looks at all claims and volumes whenever one of them changes.
func runDisks(kubeconfig, root string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	core := factory.Core().V1()
	d := disks{client, root, core.PersistentVolumeClaims().Lister(), core.PersistentVolumes().Lister()}
	changed := make(chan struct{}, 1)
	signal := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	handler := cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { signal() },
		UpdateFunc: func(any, any) { signal() },
		DeleteFunc: func(any) { signal() },
	}
	for _, informer := range []cache.SharedIndexInformer{core.PersistentVolumeClaims().Informer(), core.PersistentVolumes().Informer()} {
		if _, err := informer.AddEventHandler(handler); err != nil {
			return err
		}
	}
	factory.Start(context.Background().Done())
	factory.WaitForCacheSync(context.Background().Done())
	for range changed {
		if err := d.look(context.Background()); err != nil {
			log.Print(err)
			time.AfterFunc(500*time.Millisecond, signal)
		}
	}
	return nil
}

func (d disks) look(ctx context.Context) error {
	claims, err := d.claims.List(labels.Everything())
	if err != nil {
		return err
	}
	volumes, err := d.volumes.List(labels.Everything())
	if err != nil {
		return err
	}
	var failed []error
	for _, claim := range claims {
		if claim.Annotations["volume.kubernetes.io/storage-provisioner"] == provisioner {
			failed = append(failed, d.provide(ctx, claim), d.grow(ctx, claim))
		}
	}
	for _, volume := range volumes {
		if volume.Annotations["pv.kubernetes.io/provisioned-by"] == provisioner && volume.Status.Phase == core.VolumeReleased {
			failed = append(failed, d.remove(ctx, volume))
		}
	}
	return errors.Join(failed...)
}

// provide makes the volume of a claim whose pod has a node.
func (d disks) provide(ctx context.Context, claim *core.PersistentVolumeClaim) error {
	node := claim.Annotations["volume.kubernetes.io/selected-node"]
	name := "pvc-" + string(claim.UID)
	if node == "" || claim.Spec.VolumeName != "" {
		return nil
	}
	if _, err := d.volumes.Get(name); err == nil {
		return nil // not bound yet
	}
	folder := filepath.Join(d.root, node, "disks", name)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	here := core.NodeSelectorRequirement{Key: core.LabelHostname, Operator: core.NodeSelectorOpIn, Values: []string{node}}
	volume := &core.PersistentVolume{
		ObjectMeta: meta.ObjectMeta{Name: name, Annotations: map[string]string{"pv.kubernetes.io/provisioned-by": provisioner}},
		Spec: core.PersistentVolumeSpec{
			Capacity:                      claim.Spec.Resources.Requests,
			AccessModes:                   claim.Spec.AccessModes,
			StorageClassName:              *claim.Spec.StorageClassName,
			PersistentVolumeReclaimPolicy: core.PersistentVolumeReclaimDelete,
			ClaimRef:                      &core.ObjectReference{APIVersion: "v1", Kind: "PersistentVolumeClaim", Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID},
			NodeAffinity: &core.VolumeNodeAffinity{Required: &core.NodeSelector{
				NodeSelectorTerms: []core.NodeSelectorTerm{{MatchExpressions: []core.NodeSelectorRequirement{here}}},
			}},
		},
	}
	volume.Spec.Local = &core.LocalVolumeSource{Path: folder}
	_, err := d.client.CoreV1().PersistentVolumes().Create(ctx, volume, meta.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

// grow gives a bound claim the size that it asks for, as the resizer of a storage system would.
func (d disks) grow(ctx context.Context, claim *core.PersistentVolumeClaim) error {
	wanted, has := claim.Spec.Resources.Requests[core.ResourceStorage], claim.Status.Capacity[core.ResourceStorage]
	if claim.Status.Phase != core.ClaimBound || wanted.Cmp(has) <= 0 {
		return nil
	}
	found, err := d.volumes.Get(claim.Spec.VolumeName)
	if err != nil {
		return err
	}
	volume := found.DeepCopy()
	volume.Spec.Capacity[core.ResourceStorage] = wanted
	if _, err := d.client.CoreV1().PersistentVolumes().Update(ctx, volume, meta.UpdateOptions{}); err != nil {
		return err
	}
	claim = claim.DeepCopy()
	claim.Status.Capacity[core.ResourceStorage] = wanted
	_, err = d.client.CoreV1().PersistentVolumeClaims(claim.Namespace).UpdateStatus(ctx, claim, meta.UpdateOptions{})
	return err
}

// remove deletes the folder of a volume that nobody claims any more, where its policy says so.
func (d disks) remove(ctx context.Context, volume *core.PersistentVolume) error {
	folder := volume.Spec.Local.Path
	if volume.Spec.PersistentVolumeReclaimPolicy != core.PersistentVolumeReclaimDelete || !strings.HasPrefix(folder, d.root+"/") {
		return nil
	}
	if err := os.RemoveAll(folder); err != nil {
		return err
	}
	err := d.client.CoreV1().PersistentVolumes().Delete(ctx, volume.Name, meta.DeleteOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
